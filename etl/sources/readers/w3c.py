"""Parses logs in the W3C extended format: IIS and similar servers, and CloudFront.

A `#Fields` line names the columns of the following lines; a file may contain several. If a log shipper removed the
`#Fields` line, CloudFront's columns are assumed in their documented order, and IIS columns are recognised by their
contents.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from etl.columnar.delimited_rows import W3C_TOKEN, Layout, w3c_spans, w3c_text
from etl.sources.format import Format, LayoutReader, Reader, Settings
from etl.sources.readers.escapes import ESCAPES
from etl.sources.readers.request_fields import ParseOptions, record_of
from etl.sources.readers.second_records import second_record
from etl.sources.record import Record

_FIELDS: Final = re.compile(rb"#Fields:\s*(.+)", re.IGNORECASE | re.DOTALL)
_DATE: Final = re.compile(rb"#(?:Start-)?Date:\s*(\d{4}-\d\d-\d\d)", re.IGNORECASE)
_METHOD: Final = re.compile(r"[A-Za-z][A-Za-z_-]{1,31}")
_IIS_LINE: Final = re.compile(
    rb"(?P<date>\d{4}-\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d(?:\.\d+)?) (?:\S+ ){0,4}?(?P<method>[A-Z]{3,16}) "
    rb"(?P<stem>/\S*|\*) (?P<query>\S.*?) \d{1,5} \S+ (?P<client>[0-9A-Fa-f.:%]+) "
)
_GROUPS: Final = (
    ("date", "date"),
    ("time", "time"),
    ("cs-method", "method"),
    ("cs-uri-stem", "stem"),
    ("cs-uri-query", "query"),
    ("c-ip", "client"),
)
_STATUS: Final = re.compile(r"[1-5]\d\d|000|0")

#: The first columns of CloudFront's standard log, in order; later columns are not needed.
CLOUDFRONT: Final = (
    *("date", "time", "x-edge-location", "sc-bytes", "c-ip", "cs-method", "cs(host)", "cs-uri-stem", "sc-status"),
    *("cs(referer)", "cs(user-agent)", "cs-uri-query"),
)
_CLOUDFRONT_FIELD: Final = "x-edge-location"
_CLOUDFRONT_LINE: Final = re.compile(rb"\d{4}-\d\d-\d\d\t\d\d:\d\d:\d\d\t[A-Z]{3}\d[^\t]*\t(?:\d+|-)\t")

_AGENT: Final = "cs(user-agent)"
_DATE_KIND: Final = rb"\d{4}-\d\d-\d\d"
_TIME_KIND: Final = rb"\d\d:\d\d:\d\d(?:\.\d+)?"
#: A part of a field's name, and the pattern of its values. They make the head of a line.
_KINDS: Final = (
    ("x-edge-location", rb"[A-Z]{3}\d[^ \t]*"),
    ("date", _DATE_KIND),
    ("time-taken", None),
    ("time", _TIME_KIND),
    ("s-ip", rb"[0-9A-Fa-f]*[.:][0-9A-Fa-f.:%]+"),
    ("c-ip", rb"[0-9A-Fa-f]*[.:][0-9A-Fa-f.:%]+"),
    ("cs-method", rb"[A-Z]{3,16}"),
    ("cs-uri-stem", rb"/[^ \t]*"),
)
#: The first columns of an IIS log whose header is lost.
_IIS_FIELDS: Final = ("date", "time", "s-ip")

_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "date": ("date", "date-local", "#date"),
    "time": ("time", "time-local"),
    "method": ("cs-method",),
    "target": ("cs-uri",),
    "path": ("cs-uri-stem",),
    "query": ("cs-uri-query",),
    "status": ("sc-status",),
    "client": ("c-ip", "x-forwarded-for"),
    "agent": ("cs(user-agent)",),
}
_MICROSOFT: Final = (
    "https://learn.microsoft.com/en-us/iis/manage/provisioning-and-managing-iis/configure-logging-in-iis"
)

FORMATS: Final = (
    Format(
        "iis",
        "w3c",
        "W3C extended log of IIS and other servers, with or without its header",
        _MICROSOFT,
        (
            b"#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip sc-status",
            b"2024-05-01 12:00:00 192.0.2.1 GET /acme/collect/shop click_id=a 443 - 192.0.2.7 Acme/1 - 200 0 0 15",
        ),
        keys=_KEYS,
        is_zoned=False,
    ),
    Format(
        "cloudfront",
        "w3c",
        "Amazon CloudFront standard log, with or without its header",
        "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html",
        (
            b"#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs-uri-query",
            (
                b"2024-05-01\t12:00:00\tFRA56-P1\t703\t192.0.2.7\tGET\td1.cloudfront.net\t/acme/collect/shop\t200\t-\t"
                b"Acme%2520One\tclick_id=a%2520b"
            ),
        ),
        keys=_KEYS,
        escape="cloudfront",
        is_zoned=False,
    ),
)
_IIS, _CLOUDFRONT = FORMATS


def claims(row: Format, line: bytes) -> bool:
    """Whether a line is a `#Fields` line of the given format, or looks like a request in it without such a line."""
    header = _FIELDS.match(line)
    if header:
        names = _names(header[1])
        is_log = any(name.startswith(("cs-", "c-ip", "sc-", "x-edge")) for name in names)
        return is_log and (_CLOUDFRONT_FIELD in names) is (row == _CLOUDFRONT)
    return bool((_CLOUDFRONT_LINE if row == _CLOUDFRONT else _IIS_LINE).match(line))


def start(_rows: tuple[Format, ...], settings: Settings) -> Reader:
    """Creates a reader for one file, from its first line."""
    fields: list[str] = []
    day = b""

    def read(line: bytes) -> Record:
        nonlocal day
        if line.startswith(b"#"):
            header, date = _FIELDS.match(line), _DATE.match(line)
            fields[:] = _names(header[1]) if header else fields
            day = date[1] if date else day
            return Record("comment")
        if not line.strip():
            return Record("blank")
        place = _find_second(line, tuple(fields))
        if place is not None:
            return second_record(place)
        values = (_values(line, fields) if fields else None) or _guess_values(line)
        if values is None:
            return Record("malformed_record", _malformed_reason(line, fields))
        return _record({"#date": day.decode() or "-", **values}, settings)

    return read


def start_layout_reader(_rows: tuple[Format, ...], settings: Settings) -> LayoutReader:
    """Creates a layout reader for one file; the last `#Fields` line names the columns, else CloudFront's apply."""

    def text_of(names: list[str]) -> str:
        is_encoded = _CLOUDFRONT_FIELD in names and settings.is_cloudfront_encoded
        return Layout("cloudfront" if is_encoded else "w3c", tuple(names)).text

    known: str | None = None
    cloudfront = text_of(list(CLOUDFRONT))

    def read(line: bytes) -> str | None:
        nonlocal known
        header = _FIELDS.match(line)
        if header:
            known = text_of(_names(header[1]))
        return known or (cloudfront if _CLOUDFRONT_LINE.match(line) else None)

    return read


def _names(text: bytes) -> list[str]:
    """Returns field names in lower case, without quotes and zero-width spaces."""
    words = text.decode("utf-8", "replace").replace("\u200b", "").replace("\ufeff", "").split()
    return [word.strip('"').lower() for word in words]


@lru_cache(maxsize=16)
def _head(fields: tuple[str, ...]) -> tuple[re.Pattern[bytes], bool]:
    """Returns the pattern of the head of a line, from its first date or time to the next value of a known kind.

    The flag says whether a line begins with it. Without a date and a time among the fields, no text is a head.
    """
    kinds = [next((kind for part, kind in _KINDS if part in name), None) for name in fields]
    first = next((i for i, kind in enumerate(kinds) if kind in (_TIME_KIND, _DATE_KIND)), None)
    if first is None or _TIME_KIND not in kinds:
        return re.compile(b"(?!)"), False
    known = [i for i, kind in enumerate(kinds) if i >= first and kind]
    last = next((i for i in known if kinds[i] not in (_TIME_KIND, _DATE_KIND)), known[-1])
    values = (kind or rb"[^ \t]+" for kind in kinds[first : last + 1])
    return re.compile(rb"[ \t]".join(values) + rb"(?![^ \t])"), first == 0


def _find_second(line: bytes, fields: tuple[str, ...]) -> int | None:
    """Returns where a second record begins in a line; None if there is none."""
    head, is_first = _head(fields or (CLOUDFRONT if b"\t" in line else _IIS_FIELDS))
    own = head.match(line)
    found = head.search(line, own.end() if own else 1)
    if found and not own and not is_first:
        found = head.search(line, found.end())
    return found.start() if found else None


def _values(line: bytes, fields: list[str]) -> dict[str, str] | None:
    """Returns field -> value; None if the line has too few values. A line may end within its user agent."""
    spans = w3c_spans(line, tuple(fields))
    if spans is None:
        return _values_before_agent(line, fields)
    return {name: w3c_text(line[begin:end]) for name, (begin, end) in zip(fields, spans, strict=False)}


def _values_before_agent(line: bytes, fields: list[str]) -> dict[str, str] | None:
    """Returns field -> value for what stands before the user agent in which a line ends; None for any other line."""
    place = fields.index(_AGENT) if _AGENT in fields else 0
    if not place or len(w3c_spans(line, ()) or ()) != place + 1:
        return None
    values = _values(line, fields[: place + 1]) or {}
    values.pop(_AGENT)
    kinds = [(values[name], kind) for part, kind in _KINDS if kind for name in values if name == part]
    is_sound = all(
        value == "-" or re.fullmatch(kind, value.encode("utf-8", "surrogateescape")) for value, kind in kinds
    )
    return values if is_sound and "cs-method" in values and "c-ip" in values else None


def _guess_values(line: bytes) -> dict[str, str] | None:
    """Guesses field -> value of a line without a `#Fields` line; None if that is not possible.

    In IIS lines, the user agent and the status are looked for after the client's address.
    """
    if _CLOUDFRONT_LINE.match(line):
        return _values(line, list(CLOUDFRONT))
    match = _IIS_LINE.match(line)
    if not match:
        return None
    texts = {name: text.decode("utf-8", "surrogateescape") for name, text in match.groupdict().items()}
    rest = line[match.end() :].decode("utf-8", "surrogateescape").split()
    return {
        **{name: texts[group] for name, group in _GROUPS},
        "cs(user-agent)": next((word for word in rest if not word.startswith("HTTP/")), "-"),
        "sc-status": next((word for word in rest if _STATUS.fullmatch(word)), "-"),
    }


def _record(values: dict[str, str], settings: Settings) -> Record:
    """Turns field -> value into a record."""
    is_cloudfront = _CLOUDFRONT_FIELD in values
    escape = ESCAPES["cloudfront" if is_cloudfront and settings.is_cloudfront_encoded else "none"]
    roles = {
        role: found
        for role, names in _KEYS.items()
        if (found := next((values[name] for name in names if values.get(name, "-") != "-"), None)) is not None
    }
    if "agent" in roles:
        roles["agent"] = _agent(roles["agent"], is_cloudfront=is_cloudfront)
    if "date" not in roles:
        roles.pop("time", None)
    is_request = _METHOD.fullmatch(roles.get("method", "")) and not roles.keys().isdisjoint(("target", "path"))
    zone = settings.timezone if "time-local" in values else "UTC"
    record = record_of(roles, ParseOptions(escape, zone=zone))
    is_sound = record.fault is not None or (is_request and (record.path or "").startswith("/"))
    return record if is_sound else record._replace(fault="not_a_request")


def _agent(text: str, *, is_cloudfront: bool) -> str:
    """Decodes a user agent: `+` in IIS logs, percent-encoding in CloudFront logs, which older files encode twice."""
    if not is_cloudfront:
        return text.replace("+", " ")
    once = ESCAPES["cloudfront"](text.encode("utf-8", "surrogateescape"))
    return unquote_to_bytes(once).decode("utf-8", "surrogateescape")


def _malformed_reason(line: bytes, fields: list[str]) -> str:
    """Explains why a line cannot be read."""
    if fields:
        return f"{len(W3C_TOKEN.findall(line))} values, but #Fields names {len(fields)}"
    return "No #Fields line before this line, and no request recognised without one"
