"""Compiles a custom log format, an nginx `log_format` or Apache `LogFormat`, into one regular expression.

Each variable is a row of a table: its spellings, the role it fills, and the pattern of its text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from etl.errors import FormatError
from etl.sources.format import Format

_WORD: Final = rb"\S*?"
_ANY: Final = rb'(?:[^"\\]|\\.)*?'
#: A line may end within its user agent.
_CUT: Final = rb'|(?:[^"\\]|\\.)*\\?)'
_REQUESTS: Final = frozenset(("request", "target", "query"))


class Variable(NamedTuple):
    """A variable of a log format: its spellings, the role it fills (None: no role), and the pattern of its text."""

    spellings: tuple[str, ...]
    fills: str | None
    pattern: bytes


VARIABLES: Final = (
    Variable(("$request", "%r"), "request", _ANY),
    Variable(("$request_method", "%m"), "method", rb"[A-Za-z_-]+|-"),
    Variable(("$request_uri",), "target", _ANY),
    Variable(("$uri", "$document_uri", "%U"), "path", _ANY),
    Variable(("$args", "$query_string"), "query", _ANY),
    Variable(("%q",), "query", rb'(?:\?(?:[^"\s\\]|\\.)*)?'),
    Variable(("$request_body",), "body", _ANY),
    Variable(("$time_local", "%t"), "time", rb"\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"),
    Variable(("$time_iso8601",), "time", rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)"),
    Variable(("$msec", "%{sec}t"), "time", rb"\d{9,}(?:\.\d+)?"),
    Variable(("%{msec}t", "%{usec}t"), "time", rb"\d{9,}"),
    Variable(("$status", "%s", "%>s", "%<s"), "status", rb"\d{3}|-"),
    Variable(("$remote_addr", "$realip_remote_addr", "%h", "%a", "%{c}a"), "client", _WORD),
    Variable(("$http_x_forwarded_for", "%{X-Forwarded-For}i"), "forwarded", _ANY),
    Variable(("%l",), None, rb"\S*?"),
    Variable(("$remote_user", "%u"), None, rb"(?!- [^\[])(?:(?! - |\[\d\d?/).)*?"),
    Variable(("$http_user_agent", "%{User-Agent}i", "%{User-agent}i"), "agent", _ANY),
)

#: Formats that servers predefine, or name in their default configuration.
NAMED: Final = {
    "common": '%h %l %u %t "%r" %>s %b',
    "combined": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
    "combinedio": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %I %O',
    "vhost_combined": '%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"',
    "main": (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
        '"$http_user_agent" "$http_x_forwarded_for"'
    ),
}

#: Apache's time variable with a strftime layout, and the pattern of each strftime code.
_LAYOUT: Final = re.compile(r"%\{(?:begin:|end:)?(.*%.*)\}t")
_LAYOUT_CODES: Final = {
    **dict.fromkeys("mdHMSy", r"\d\d"),
    **dict.fromkeys("ba", "[A-Z][a-z]{2}"),
    "Y": r"\d{4}",
    "e": r"[ \d]\d",
    "z": r"[+-]\d{4}",
    "s": r"\d+",
    "%": "%",
    "F": r"\d{4}-\d\d-\d\d",
    "T": r"\d\d:\d\d:\d\d",
}
_BY_SPELLING: Final = {spelling: row for row in VARIABLES for spelling in row.spellings}
_NGINX: Final = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_APACHE: Final = re.compile(r"%%|%[!,\d]*(\{[^}]*\}\^?[a-zA-Z]+|[<>]?\^?[a-zA-Z]+)")
_DIRECTIVE: Final = re.compile(r"\s*(?:log_format|LogFormat)\s+")
_QUOTED: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")


@lru_cache(maxsize=16)
def compile_log_format(text: str) -> Format:
    """Compiles a log format to a `Format` with a regular expression.

    Args:
        text: The name of a predefined format, the format alone, or its whole directive with name and quotes.

    Raises:
        FormatError: The log format lacks the request's query or path.

    Examples:
        >>> from etl.sources.format import Settings
        >>> from etl.sources.readers import text_lines
        >>> row = compile_log_format('$remote_addr [$time_iso8601] "$request_uri" $status')
        >>> text_lines.start((row,), Settings())(b'192.0.2.1 [2024-05-01T12:00:00Z] "/a/collect/b?x=1" 200').query
        'x=1'
    """
    literal, escape = _literal(NAMED.get(text, text))
    layouts = [spelling for token in _APACHE.finditer(literal) if _layout_of(spelling := _spelling(token))]
    tokens = _NGINX if "$" in literal and not _APACHE.search(literal.replace("$", "")) else _APACHE
    pattern, cut, filled, end = b"", b"", set[str](), 0
    for token in tokens.finditer(literal):
        pattern += re.escape(_bytes(literal[end : token.start()]))
        end = token.end()
        spelling = _spelling(token)
        variable = _BY_SPELLING.get(spelling) or _layout_of(spelling)
        if token[0] == "%%":
            pattern += b"%"
        elif variable and variable.fills and variable.fills not in filled:
            filled.add(variable.fills)
            group = b"(?P<" + variable.fills.encode() + b">" + variable.pattern + b")"
            is_cut = variable.fills == "agent" and pattern.endswith(b'"') and not filled.isdisjoint(_REQUESTS)
            pattern += rb"\[" + group + rb"\]" if spelling == "%t" else b"(?:" * is_cut + group
            cut = _CUT if is_cut else cut
        else:
            unquoted = variable.pattern if variable and not variable.fills else rb".*?"
            pattern += _ANY if literal[token.start() - 1 : token.start()] == '"' else unquoted
    pattern += re.escape(_bytes(literal[end:])) + cut
    _check(filled, text)
    return Format(
        "custom",
        "custom",
        "A custom log format",
        "https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format",
        pattern=pattern,
        escape={"none": "none", "json": "json"}.get(escape, "backslash"),
        time=f"layout {_LAYOUT.fullmatch(layouts[0])[1]}" if layouts else "any",  # type: ignore[index]
        moment="end" if "time" in filled else "none",
        is_zoned=not layouts or "%z" in layouts[0],
        is_body_logged="body" in filled,
    )


def _bytes(text: str) -> bytes:
    """Returns the bytes of a text; of an argument that is not UTF-8, the bytes that the shell passed."""
    return text.encode("utf-8", "surrogateescape")


def _layout_of(spelling: str) -> Variable | None:
    """Returns the variable for a time with a strftime layout, as `%{%Y-%m-%d %H:%M:%S}t`; None for other variables."""
    layout = _LAYOUT.fullmatch(spelling)
    if not layout or any(code not in _LAYOUT_CODES for code in re.findall("%(.?)", layout[1])):
        return None
    pieces = (
        _LAYOUT_CODES[piece[1:]] if piece.startswith("%") else re.escape(piece) for piece in re.split("(%.)", layout[1])
    )
    return Variable((spelling,), "time", _bytes("".join(pieces)))


def _literal(text: str) -> tuple[str, str]:
    """Returns the format without its directive, name and quotes, and the escape that its directive names."""
    directive = _DIRECTIVE.match(text)
    escape = re.search(r"escape=(json|default|none)", text)
    if directive:
        text = text[directive.end() :]
    if directive or _QUOTED.fullmatch(text.strip()):
        text = "".join(first or second for first, second in _QUOTED.findall(text))
    return text.strip().replace('\\"', '"').replace("\\t", "\t"), escape[1] if escape else "default"


def _spelling(token: re.Match[str]) -> str:
    """Returns a variable as `VARIABLES` spells it: without braces, modifiers and status conditions."""
    if token[0].startswith("$"):
        return "$" + (token[1] or token[2])
    return "%" + (token[1] or "")


_PARTS: Final = (
    (
        {"request", "target", "query"},
        "the request's query: $request, $request_uri or $args (%r or %q)",
    ),
    ({"request", "target", "path"}, "the request's path: $request, $request_uri or $uri (%r or %U)"),
)


def _check(filled: set[str], text: str) -> None:
    """Raises `FormatError` if the format records no query or no path."""
    for alternatives, missing in _PARTS:
        if not filled & alternatives and not (filled >= {"path", "body"}):
            raise FormatError(f"--log-format {text!r} lacks {missing}.", "Add it, or use a log that has it.")
