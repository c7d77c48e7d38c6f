"""The formats this tool reads, one row each, and which of them an input is in.

A row's samples are its test: its reader reads them, and no other format claims them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from etl.errors import FormatError
from etl.sources import access_logs, dumps
from etl.sources.requests import Record

#: How an input is cut into records: at newlines, or at the brackets of JSON documents.
LINES, DOCUMENTS = "lines", "documents"


class Format(NamedTuple):
    """One format.

    Attributes:
        name: What `--format` and the summary call it.
        family: Formats of one family may stand beside each other in a file; one reader reads them all.
        what: One line for people.
        records: LINES or DOCUMENTS.
        is_body_logged: Whether a request's body would be there to see.
        read: One record, the exact way.
        claims: Whether a line is in this format.
        link: Where the format is documented.
        samples: Lines or documents in this format.
    """

    name: str
    family: str
    what: str
    records: str
    is_body_logged: bool
    read: Callable[[bytes], Record]
    claims: Callable[[bytes], bool]
    link: str
    samples: tuple[bytes, ...]


def _is_combined(line: bytes) -> bool:
    return access_logs.read_line(line).fault != "malformed_record" and access_logs.is_combined(line)


def _is_common(line: bytes) -> bool:
    return access_logs.read_line(line).fault != "malformed_record" and not access_logs.is_combined(line)


def _is_json_object(line: bytes) -> bool:
    return line.lstrip().startswith(b"{") and dumps.read_record(line).fault is None


_JSON_START: Final = re.compile(rb"\s*(?:\[\s*(?:[\[{\"\]]|$)|\{)")


def _is_json_start(line: bytes) -> bool:
    return bool(_JSON_START.match(line)) and not _is_json_object(line)


FORMATS: Final = (
    Format(
        "combined",
        "access_log",
        "Apache or nginx access log with referer and user agent, a virtual host before and anything after",
        LINES,
        is_body_logged=False,
        read=access_logs.read_line,
        claims=_is_combined,
        link="https://httpd.apache.org/docs/2.4/logs.html#combined",
        samples=(
            b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2 "-" "-"',
            b'shop.example.com:443 2001:db8::7 - jo [01/May/2024:12:00:00 +0000] "-" 400 0 "-" "-" 0.003',
        ),
    ),
    Format(
        "common",
        "access_log",
        "Apache or nginx access log without referer and user agent",
        LINES,
        is_body_logged=False,
        read=access_logs.read_line,
        claims=_is_common,
        link="https://httpd.apache.org/docs/2.4/logs.html#common",
        samples=(b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2',),
    ),
    Format(
        "jsonl",
        "json_lines",
        "JSON lines: one bare payload or envelope a line",
        LINES,
        is_body_logged=True,
        read=dumps.read_record,
        claims=_is_json_object,
        link="https://jsonlines.org",
        samples=(
            b'{"click_id": "a", "value": 12.5}',
            b'{"method": "GET", "path": "/a/collect/b", "query": "click_id=a"}',
        ),
    ),
    Format(
        "json",
        "json_documents",
        "JSON: an array of payloads or envelopes, or objects one after another over several lines",
        DOCUMENTS,
        is_body_logged=True,
        read=dumps.read_record,
        claims=_is_json_start,
        link="https://www.rfc-editor.org/rfc/rfc8259",
        samples=(b'[{"click_id": "a"},', b"{"),
    ),
)

BY_NAME: Final = {row.name: row for row in FORMATS}


def detect_format(sample: bytes, label: str) -> Format:
    """The format that most lines of a sample are in; the first one for an input without any.

    Args:
        sample: The first bytes of the input.
        label: What to call the input in messages.

    Raises:
        FormatError: No line is in any known format.
    """
    lines = [line for line in sample.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip() and line[:1] != b"#"]
    if len(lines) > 1 and not sample.endswith(b"\n"):
        lines.pop()
    if not lines:
        return FORMATS[0]
    votes = [sum(row.claims(line) for line in lines) for row in FORMATS]
    is_document = _is_json_start(lines[0]) and votes[_JSONL] * 2 < len(lines)
    if is_document:
        return BY_NAME["json"]
    votes[_JSON] = 0
    if not any(votes):
        raise FormatError(
            f"{label} is in no known format: none of its first {len(lines)} lines is.",
            f"Say what it is with --format ({', '.join(BY_NAME)}) or --log-format, or leave it out.",
        )
    return FORMATS[votes.index(max(votes))]


_JSONL: Final = list(BY_NAME).index("jsonl")
_JSON: Final = list(BY_NAME).index("json")
