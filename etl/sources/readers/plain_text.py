"""Parses text of home-made receivers: one URL, path or query per line, and JSON after a date."""

from __future__ import annotations

import re
from typing import Final

from etl.columnar import json_codec
from etl.sources.format import Format, Reader, Settings
from etl.sources.readers import text_lines, webhook_envelopes
from etl.sources.readers.second_records import second_record
from etl.sources.readers.timestamps import DATED, find_time
from etl.sources.record import Record, split_target

_TIME: Final = (
    rb"(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
    rb"|\d{10}(?:\.\d+|\d{3})?|\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
    rb"|\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d(?: [A-Z]{3})?)"
)
_BEFORE: Final = rb'(?:[\[("]?' + _TIME + rb'[\])"]?\s*(?:[,;|:-]\s*)?(?<![0-9]))?'
_QUERY_NAME: Final = rb"[A-Za-z_\xc2][\w.%\[\]\xa4-]*"
_STATUS: Final = rb"(?:20[0-46]|30[1-478]|40[0-59]|410|422|429|499|50[0-4])"
#: Where the fields of a log begin behind an address: after a blank, or between separators.
_FIELDS: Final = (
    rb"(?:\s(?![^\r\n]*&[\w.%\[\]-]+=)(?:[\"\[({<|]|" + _STATUS + rb"(?:\s|\Z)|(?:\d{1,3}\.){3}\d{1,3}|[-=]>"
    rb"|\d+(?:\.\d+)?\s?(?:m?s|[kM]?B|bytes)\b|[^\s/=]+/\S|[\w-]+(?:\.[\w-]+)+(?:\s|\Z)|[\w.-]+=)"
    + b"".join(rb"|" + mark + _STATUS + mark for mark in (rb",", rb";", rb"\|"))
    + rb")"
)
#: The rest of an address, whose blanks may be raw.
_TEXT: Final = rb"(?:(?!" + _FIELDS + rb").)*?"
_LINE: Final = (
    rb'(?!.*" )'
    + _BEFORE
    + rb'"?(?:(?P<method>GET|POST|HEAD|PUT|OPTIONS)[ \t:]+)?'
    + rb"(?:(?P<target>https?://"
    + _TEXT
    + rb"|/[^\s?]*(?:\?"
    + _TEXT
    + rb")?)(?: HTTP/[\d.]+)?"
    + rb"|(?P<query>\??&?"
    + _QUERY_NAME
    + rb'=(?!.*\s[\w.-]+=).*?))"?\s*'
)

#: The beginning of a line, and an address that begins a second record: one with a scheme, a method or a time.
_METHOD: Final = rb"(?:GET|POST|HEAD|PUT|OPTIONS)[ \t:]+"
_OWN: Final = re.compile(_BEFORE + rb'"?(?:' + _METHOD + rb")?(?:(?P<scheme>https?://)|/|\?)?")
_HOST: Final = re.compile(rb"[^\s/?#]*")
_SECOND: Final = re.compile(
    rb'[\[("]?'
    + _TIME.replace(b"?P<time>", b"?:")
    + rb'[\])"]?\s*(?:[,;|:-]\s*)?(?:'
    + _METHOD
    + rb")?(?:https?://|/)\S"
    rb"|" + _METHOD + rb"(?:https?://|/)\S|https?://(?P<host>[^\s/?#]+)/"
)

FORMATS: Final = (
    Format(
        "plain_text",
        "plain_text",
        "Plain text: one URL, path or query per line, with or without a time before it",
        "https://url.spec.whatwg.org/#concept-urlencoded",
        (
            b"https://t.example.com/acme/collect/shop?click_id=a&value=1",
            b"/acme/collect/shop?click_id=a",
            b"click_id=a&value=1",
            b"2024-05-01 12:00:00 GET /acme/collect/shop?click_id=a",
            b"[2024-05-01T12:00:00Z] https://t.example.com/acme/collect/shop?click_id=a",
        ),
        pattern=_LINE,
        time="any",
        moment="start",
        is_zoned=False,
    ),
    Format(
        "dated_json",
        "dated_json",
        "A date followed by JSON, on one line or several, as receivers in PHP or Node write it",
        "https://www.rfc-editor.org/rfc/rfc8259",
        (
            b'2024-05-01 12:00:00 - {"click_id": "a"}',
            b'[2024-05-01 12:00:00] POST /acme/collect/shop {\n "value": 1\n}',
        ),
        time="any",
        moment="start",
        is_zoned=False,
        is_body_logged=True,
    ),
)

#: What Caddy writes between the date and the JSON of a request.
_CONSOLE: Final = b"\thttp.log.access"

#: What Monolog writes behind a record without further values.
_EXTRA: Final = re.compile(rb"(?<=[\]}])(?: (?:\[\]|\{\}))+\s*\Z")
_OPENER: Final = re.compile(rb"[{\[]\s*(?:[\"{}\]]|$)")
_REQUEST: Final = re.compile(rb"(?:^|[\s\"])(?:(GET|POST|PUT)[ :]+)?(https?://\S+|/\S+)")


def start(rows: tuple[Format, ...], settings: Settings) -> Reader:
    """Creates a reader for lines with one URL, path or query each."""
    read_text = text_lines.start(rows, settings)

    def read(line: bytes) -> Record:
        place = find_second(line)
        return read_text(line) if place is None else second_record(place)

    return read


def find_second(line: bytes) -> int | None:
    """Returns where a second address with scheme, method or time begins in a line; None if there is none.

    An address of another host at the beginning of a parameter's value is that value.

    Examples:
        >>> [find_second(b"https://a.io/x?url=" + text) for text in (b"https://b.io/y", b"https://a.io/x", b"1https://b.io/y")]
        [None, 19, 20]
    """
    own = _OWN.match(line)
    reached = max(own.end(), 1) if own else 1
    host = _HOST.match(line, reached) if own and own["scheme"] else None
    for found in _SECOND.finditer(line, reached):
        is_value = line[found.start() - 1 : found.start()] == b"=" and found["host"] is not None
        if not is_value or (host and host[0] == found["host"]):
            return found.start()
    return None


def start_dated(_rows: tuple[Format, ...], settings: Settings) -> Reader:
    """Creates a reader for blocks: a date, optionally method and path, then JSON."""

    def read(block: bytes) -> Record:
        split = _split(block)
        if split is None:
            return Record("malformed_record", "No JSON after a date")
        before, content = split
        record = webhook_envelopes.read_record(content, settings.collect_path)
        time = find_time(before.decode("utf-8", "replace"), settings.timezone)
        if record.received_at is None:
            record = record._replace(received_at=time)
        request = _REQUEST.search(DATED.sub(b"", before))
        if record.path is not None or not request or b"/" not in request[2][1:]:
            return record
        path, query = split_target(request[2])
        method = request[1].decode() if request[1] else None
        return record._replace(http_method=method, path=path, query=record.query or query)

    return read


def _split(block: bytes) -> tuple[bytes, bytes] | None:
    """Splits a dated block into the text before the JSON and the JSON; None if there is no date or no JSON."""
    if not DATED.match(block):
        return None
    for opener in _OPENER.finditer(block):
        content = _EXTRA.sub(b"", block[opener.start() :]).rstrip()
        closed = content[: max(content.rfind(b"}"), content.rfind(b"]")) + 1]
        if opener[0][:1] == b"{" or json_codec.is_json(closed):
            return block[: opener.start()], closed or content
    return None


def claims_dated(_row: Format, block: bytes) -> bool:
    """Whether a block begins with a date, followed by JSON within 200 bytes."""
    split = _split(block)
    is_near = split is not None and len(split[0]) < 200 and _CONSOLE not in split[0]
    return split is not None and is_near and json_codec.is_json(split[1])
