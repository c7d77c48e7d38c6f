"""Recognises types of inputs that are not supported, with advice for the user."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class UnsupportedInput(NamedTuple):
    """A type of input that is not supported: the pattern of its text, a description, and advice for the user."""

    name: str
    pattern: re.Pattern[bytes]
    what: str
    advice: str


def _row(name: str, pattern: bytes, what: str, advice: str) -> UnsupportedInput:
    """Compiles the pattern of a row."""
    return UnsupportedInput(name, re.compile(pattern, re.DOTALL), what, advice)


_ACCESS_LOG: Final = "Name the access log that the same server writes."
_WITH_TIME: Final = "Set the server to log in the combined format, which has the time of each request."

#: Types recognised by the first bytes of an input.
BY_HEAD: Final = (
    _row(
        "excel_xls",
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an Excel workbook",
        "Save the sheet as CSV and name that file.",
    ),
    _row(
        "excel_xlsx",
        rb"PK\x03\x04.*(?:\[Content_Types\]\.xml|xl/|docProps/)",
        "an Excel workbook",
        "Save the sheet as CSV and name that file.",
    ),
    _row(
        "encrypted_zip",
        rb"PK\x03\x04..[\x01\x03\x05\x07\x09\x0b\x0d\x0f]",
        "an encrypted archive",
        "Extract it with its password and name the extracted files.",
    ),
    _row(
        "inner_zip",
        rb"PK\x03\x04",
        "a zip archive within another archive",
        "Extract the outer archive and name the extracted files.",
    ),
    _row(
        "gcloud_yaml",
        rb"---\r?\n(?:[^\n]*\n){0,80}?(?:insertId|logName): ",
        "output of gcloud in YAML",
        "Write it as JSON: gcloud logging read --format json, and name that file.",
    ),
    _row(
        "journal_export",
        rb"__(?:CURSOR|REALTIME_TIMESTAMP)=[^\n]*\n(?:[^\n]*\n){0,80}?_[A-Z_]+=",
        "the journal in its export format",
        "Write it as JSON: journalctl -o json, and name that file.",
    ),
    _row(
        "mitmproxy",
        rb"\d{2,9}:\d+:(?:version|type|backup|client_conn|request|response|error|id)[;,]|\d{2,9}:\d+:\w+;",
        "a file of mitmproxy flows",
        "Convert it: mitmdump -r FILE --set hardump=flows.har, and name flows.har.",
    ),
    _row(
        "clickbank_encrypted",
        rb"\s*+(?:\[\s*+)?\{\s*(?:\"notification\"\s*:\s*\"[^\"]*\"\s*,\s*\"iv\"|\"iv\"\s*:\s*\"[^\"]*\"\s*,\s*\"notification\")\s*:",
        "a dump of encrypted ClickBank notifications",
        "Decrypt the notifications with your secret key, and name the decrypted file.",
    ),
    _row(
        "event_xml",
        rb"(?:\xef\xbb\xbf)?\s*+(?:<\?xml[^>]*>\s*+)?<Events?[ >]",
        "a Windows event log in XML",
        "Name the W3C log of IIS, which contains the same requests.",
    ),
    _row(
        "cloudfront_rtmp",
        rb"(?:#Version[^\n]*\n)?#Fields:[^\n]*x-event[^\n]*x-sname",
        "a CloudFront log of RTMP streams",
        "Name the log of a web distribution: stream logs contain no postbacks.",
    ),
    _row(
        "nginx_status",
        rb"\s*\{\s*\"(?:version|nginx_version)\"\s*:[^\n]*\"(?:connections|ssl|processes|address)\"",
        "a dump of nginx's status",
        _ACCESS_LOG,
    ),
)

#: Types recognised by the majority of an input's lines.
BY_LINE: Final = (
    _row(
        "nginx_error_log",
        rb"(?:<\d+>.*?)?\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?:debug|info|notice|warn|error|crit|alert|emerg)\] \d+#\d+: ",
        "an error log of nginx",
        _ACCESS_LOG,
    ),
    _row(
        "apache_error_log",
        rb"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{4}\] \[",
        "an error log of Apache",
        _ACCESS_LOG,
    ),
    _row(
        "tcp_load_balancer",
        rb"(?:tls|tcp|udp) \d\.\d \d{4}-\S+ net/|.*haproxy\[\d+\]: (?:Connect from |\S+ \[[^\]]*\] \S+ \S+/\S+ [\d/+-]+ \d+ \S\S \d)"
        rb"|\S+:\d+ \[\d\d/[A-Z][a-z]{2}/\d{4}:[\d:.]+\] \S+ \S+/\S+ [\d/+-]+ \d+ \S\S \d|Connect from \S+:\d+ to ",
        "a log of a TCP load balancer, which sees no requests",
        "Name the access log of the server behind it.",
    ),
    _row(
        "uvicorn",
        rb"(?:INFO:\s+)?\[?[\w.:]+\]?:\d+ - \"[A-Z]+ \S.* HTTP/[\d.]+\" \d{3}",
        "a log of uvicorn, which has no times",
        _WITH_TIME,
    ),
    _row(
        "morgan",
        rb"(?:\x1b\[\d*m)?(?:GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH) /\S*(?:\x1b\[\d*m)* (?:\x1b\[\d*m)*\d{3}(?:\x1b\[\d*m)* .*\bms\b",
        "a log in morgan's tiny or dev format, which has no times",
        _WITH_TIME,
    ),
    _row(
        "ssl_request_log",
        rb"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] \S+ (?:TLS|SSL)v[\d.]+ \S+ \"",
        "a request log of mod_ssl, which has no statuses",
        _ACCESS_LOG,
    ),
    _row(
        "sql_dump",
        rb"(?:INSERT INTO |CREATE TABLE |LOCK TABLES |/\*!\d+ )",
        "a dump of SQL statements",
        "Export the table as CSV and name that file.",
    ),
    _row(
        "browser_hits",
        rb".*\"GET /assets/[^/ ]+/collect\?",
        "a log of the tracker's own browser hits, which are not postbacks",
        "Name the log of the Custom Integration endpoint.",
    ),
    _row(
        "print_r",
        rb"(?:\[[\w .-]+\] => |Array$|Array \(|\($|\)$)",
        "output of PHP's print_r",
        "Write the payloads as JSON lines, with json_encode.",
    ),
)


def find_unsupported(head: bytes, lines: list[bytes]) -> UnsupportedInput | None:
    """Returns the unsupported type of an input; None if it is not recognised as one.

    Args:
        head: The first bytes of the input.
        lines: Non-blank lines of the input.
    """
    known = next((row for row in BY_HEAD if row.pattern.match(head)), None)
    if known or not lines:
        return known
    stripped = [line.strip() for line in lines]
    votes = {row.name: sum(bool(row.pattern.match(line)) for line in stripped) for row in BY_LINE}
    best = max(BY_LINE, key=lambda row: votes[row.name])
    return best if votes[best.name] * 2 > len(lines) else None
