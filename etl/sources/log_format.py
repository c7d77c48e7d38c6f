"""A log format of one's own: an nginx `log_format` or an Apache `LogFormat`, as written in the server's configuration.

Each variable is one row: what it fills, and the pattern of its text. The format becomes one regular expression.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache, partial
from typing import Final, NamedTuple

from etl.errors import FormatError
from etl.sources.escapes import undo_backslashes
from etl.sources.format_rows import Format, Reader, Settings
from etl.sources.requests import Record, as_text, split_request, split_target
from etl.sources.text_lines import compiled
from etl.sources.times import read_clock
from etl.values import read_instant

_WORD: Final = rb"\S*?"
_ANY: Final = rb'(?:[^"\\]|\\.)*?'


class Variable(NamedTuple):
    """One variable of a server's log format: its spellings, what it fills (None: nothing), its text's pattern."""

    spellings: tuple[str, ...]
    fills: str | None
    pattern: bytes


VARIABLES: Final = (
    Variable(("$request", "%r"), "request", _ANY),
    Variable(("$request_method", "%m"), "method", rb"[A-Za-z_-]+|-"),
    Variable(("$request_uri",), "target", _ANY),
    Variable(("$uri", "$document_uri", "%U"), "path", _ANY),
    Variable(("$args", "$query_string"), "query", _ANY),
    Variable(("%q",), "marked_query", rb'(?:\?(?:[^"\s\\]|\\.)*)?'),
    Variable(("$request_body",), "body", _ANY),
    Variable(("$time_local", "%t"), "clf_time", rb"\[?\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]?"),
    Variable(("$time_iso8601",), "instant", rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)"),
    Variable(("$msec", "%{sec}t"), "instant", rb"\d+(?:\.\d+)?"),
    Variable(("%{msec}t", "%{usec}t"), "instant", rb"\d+"),
    Variable(("$status", "%s", "%>s", "%<s"), "status", rb"\d{3}|-"),
    Variable(("$remote_addr", "$realip_remote_addr", "%h", "%a", "%{c}a"), "client", _WORD),
    Variable(("$http_x_forwarded_for", "%{X-Forwarded-For}i"), "forwarded", _ANY),
    Variable(("$http_user_agent", "%{User-Agent}i", "%{User-agent}i"), "agent", _ANY),
)

_BY_SPELLING: Final = {spelling: row for row in VARIABLES for spelling in row.spellings}
_NGINX: Final = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_APACHE: Final = re.compile(r"%%|%[!,\d]*(\{[^}]*\}\^?[a-zA-Z]+|[<>]?\^?[a-zA-Z]+)")
_DIRECTIVE: Final = re.compile(r"\s*(?:log_format|LogFormat)\s+")
_QUOTED: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")


@lru_cache(maxsize=16)
def compile_log_format(text: str) -> Format:
    """The format that a server's configuration describes.

    Args:
        text: The format alone, or its whole directive with name and quotes.

    Raises:
        FormatError: It lacks a variable that the job needs.

    Examples:
        >>> row = compile_log_format('$remote_addr [$time_iso8601] "$request_uri" $status')
        >>> start((row,), Settings())(b'192.0.2.1 [2024-05-01T12:00:00Z] "/a/collect/b?x=1" 200').query
        'x=1'
    """
    literal, escape = _literal(text)
    tokens = _NGINX if "$" in literal and not _APACHE.search(literal.replace("$", "")) else _APACHE
    pattern, filled, end = b"", set[str](), 0
    for token in tokens.finditer(literal):
        pattern += re.escape(literal[end : token.start()].encode())
        end = token.end()
        spelling = _spelling(token)
        variable = _BY_SPELLING.get(spelling)
        if token[0] == "%%":
            pattern += b"%"
        elif variable and variable.fills and variable.fills not in filled:
            filled.add(variable.fills)
            pattern += b"(?P<" + variable.fills.encode() + b">" + variable.pattern + b")"
        else:
            pattern += _ANY if literal[token.start() - 1 : token.start()] == '"' else rb".*?"
    pattern += re.escape(literal[end:].encode())
    _check(filled, text)
    return Format(
        "custom",
        "custom",
        "a log format of one's own",
        "https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format",
        pattern=pattern,
        escape="none" if escape == "none" else "backslash",
        moment="end" if filled & {"clf_time", "instant"} else "none",
        is_body_logged="body" in filled,
    )


def start(rows: tuple[Format, ...], _settings: Settings) -> Reader:
    """A reader of lines in the first row, which `compile_log_format` made."""
    return partial(_read, compiled(rows[0]), rows[0].escape)


def _literal(text: str) -> tuple[str, str]:
    """The format itself, without its directive, name and quotes, and how values in it are escaped."""
    directive = _DIRECTIVE.match(text)
    escape = re.search(r"escape=(json|default|none)", text)
    if directive:
        pieces = [first or second for first, second in _QUOTED.findall(text[directive.end() :])]
        text = "".join(piece.replace('\\"', '"') for piece in pieces)
    return text.strip(), escape[1] if escape else "default"


def _spelling(token: re.Match[str]) -> str:
    if token[0].startswith("$"):
        return "$" + (token[1] or token[2])
    return "%" + (token[1] or "")


_PARTS: Final = (
    (
        {"request", "target", "query", "marked_query"},
        "the request's query: $request, $request_uri or $args (%r or %q)",
    ),
    ({"request", "target", "path"}, "the request's path: $request, $request_uri or $uri (%r or %U)"),
)


def _check(filled: set[str], text: str) -> None:
    for alternatives, missing in _PARTS:
        if not filled & alternatives and not (filled >= {"path", "body"}):
            raise FormatError(f"--log-format {text!r} lacks {missing}.", "Add it, or use a log that has it.")


def _read(pattern: re.Pattern[bytes], escape: str, line: bytes) -> Record:
    match = pattern.match(line)
    if not match:
        return Record("malformed_record", "The line does not match --log-format")
    seen = {
        name: undo_backslashes(text) if escape != "none" else text
        for name, text in match.groupdict().items()
        if text not in (None, b"-", b"")
    }
    record = Record(
        received_at=_time(seen),
        http_status=int(seen["status"]) if "status" in seen else None,
        client_ip=_text(seen.get("forwarded", seen.get("client", b""))).partition(",")[0] or None,
        user_agent=_text(seen.get("agent")) or None,
        body=_text(seen.get("body")) or None,
    )
    if "request" in pattern.groupindex:
        parts = split_request(seen.get("request", b""))
        if parts is None:
            return record._replace(fault="not_a_request")
        method, (path, query) = parts[0], split_target(parts[1])
    else:
        method, (path, query) = _text(seen.get("method")), split_target(seen.get("target", seen.get("path", b"")))
        query = _text(seen.get("query")) or _text(seen.get("marked_query")).removeprefix("?") or query
    if not path:
        return record._replace(fault="not_a_request")
    return record._replace(http_method=method or None, path=path, query=query)


def _text(value: bytes | None) -> str:
    return as_text(value or b"")


def _time(seen: dict[str, bytes]) -> datetime | None:
    if "clf_time" in seen:
        return read_clock(_text(seen["clf_time"].strip(b"[]")))
    return read_instant(_text(seen.get("instant")))
