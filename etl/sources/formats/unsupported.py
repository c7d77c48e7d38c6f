"""What is known and not read, and what to do instead."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Refusal(NamedTuple):
    """Something that is not read: how its lines are told, what it is, and what to do instead."""

    name: str
    pattern: re.Pattern[bytes]
    what: str
    instead: str


def _row(name: str, pattern: bytes, what: str, instead: str) -> Refusal:
    return Refusal(name, re.compile(pattern, re.DOTALL), what, instead)


_ACCESS_LOG: Final = "Name the access log that the same server writes."
_WITH_TIME: Final = "Let it log in the combined format, which has the time of each request."

#: Told by the first bytes of an input.
BY_HEAD: Final = (
    _row(
        "excel_xls",
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an Excel workbook",
        "Save the sheet as CSV and name that file.",
    ),
    _row(
        "mitmproxy",
        rb"\d{2,9}:\d+:(?:version|type|backup|client_conn|request|response|error|id)[;,]|\d{2,9}:\d+:\w+;",
        "a file of mitmproxy flows",
        "Convert it: mitmdump -r FILE --set hardump=flows.har, and name flows.har.",
    ),
    _row(
        "clickbank_encrypted",
        rb"\s*\[?\s*\{\s*(?:\"notification\"\s*:\s*\"[^\"]*\"\s*,\s*\"iv\"|\"iv\"\s*:\s*\"[^\"]*\"\s*,\s*\"notification\")\s*:",
        "a dump of encrypted ClickBank notifications",
        "Decrypt them with your secret key, and name the file of what they say.",
    ),
    _row(
        "event_xml",
        rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<Events?[ >]",
        "a Windows event log in XML",
        "Name the W3C log of IIS, which holds the same requests.",
    ),
    _row(
        "cloudfront_rtmp",
        rb"(?:#Version[^\n]*\n)?#Fields:[^\n]*x-event[^\n]*x-sname",
        "a CloudFront log of RTMP streams",
        "Name the log of a web distribution: streams hold no postbacks.",
    ),
    _row(
        "nginx_status",
        rb"\s*\{\s*\"(?:version|nginx_version)\"\s*:[^\n]*\"(?:connections|ssl|processes|address)\"",
        "a dump of nginx's status",
        _ACCESS_LOG,
    ),
)

#: Told by a majority of the lines.
BY_LINE: Final = (
    _row(
        "nginx_error_log",
        rb"(?:<\d+>\S* ?.*?)?\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?:debug|info|notice|warn|error|crit|alert|emerg)\] \d+#\d+: ",
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
        "a log of uvicorn, which holds no times",
        _WITH_TIME,
    ),
    _row(
        "morgan",
        rb"(?:\x1b\[\d*m)?(?:GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH) /\S*(?:\x1b\[\d*m)* (?:\x1b\[\d*m)*\d{3}(?:\x1b\[\d*m)* .*\bms\b",
        "a log of morgan's tiny or dev format, which holds no times",
        _WITH_TIME,
    ),
    _row(
        "ssl_request_log",
        rb"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] \S+ (?:TLS|SSL)v[\d.]+ \S+ \"",
        "a log of mod_ssl's requests, which holds no statuses",
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
        "a log of the tracker's own browser hits, which are no postbacks",
        "Name the log of the Custom Integration endpoint.",
    ),
    _row(
        "print_r",
        rb"(?:\[[\w .-]+\] => |Array$|Array \(|\($|\)$)",
        "a dump by PHP's print_r",
        "Write the payloads as JSON lines, with json_encode.",
    ),
)


def refusal_of(head: bytes, lines: list[bytes]) -> Refusal | None:
    """What an input is that is not read; None for any other.

    Args:
        head: Its first bytes.
        lines: Lines of it, without those that are blank.
    """
    known = next((row for row in BY_HEAD if row.pattern.match(head)), None)
    if known or not lines:
        return known
    stripped = [line.strip() for line in lines]
    votes = {row.name: sum(bool(row.pattern.match(line)) for line in stripped) for row in BY_LINE}
    best = max(BY_LINE, key=lambda row: votes[row.name])
    return best if votes[best.name] * 2 > len(lines) else None
