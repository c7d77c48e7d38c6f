"""Formats as servers' configurations write them, and users' own in TOML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import etl
from etl.errors import EtlError, FormatError
from etl.sources.format import Settings
from etl.sources.formats.log_format import NAMED, compile_log_format
from etl.sources.readers import text_lines
from etl.sources.record import Record

NOON = "2024-05-01 12:00:00+00:00"


def read(text: str, line: bytes, zone: str = "UTC") -> Record:
    return text_lines.start((compile_log_format(text),), Settings(timezone=zone))(line)


CASES: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "nginx, a directive over several quoted pieces": (
        """log_format post '$remote_addr [$time_local] "$request" '
                            '$status "$request_body"';""",
        rb'192.0.2.7 [01/May/2024:14:00:00 +0200] "POST /a/collect/b HTTP/1.1" 200 "x=\x22y\x22"',
        {"http_method": "POST", "path": "/a/collect/b", "body": 'x="y"', "http_status": 200, "received_at": NOON},
    ),
    "nginx, pieces of the request": (
        "$msec $request_method $uri $args $status",
        b"1714564800.000 GET /a/collect/b x=1&y=%20 204",
        {"http_method": "GET", "path": "/a/collect/b", "query": "x=1&y=%20", "received_at": NOON},
    ),
    "nginx, JSON with escape=json": (
        """log_format j escape=json '{"t":"$time_iso8601","uri":"$request_uri","ua":"$http_user_agent","s":$status}';""",
        rb'{"t":"2024-05-01T12:00:00+00:00","uri":"/a/collect/b?x=\"\\\u001f","ua":"A\tB","s":200}',
        {"path": "/a/collect/b", "query": 'x="\\\x1f', "user_agent": "A\tB", "received_at": NOON},
    ),
    "nginx, JSON without escape=json": (
        """log_format j '{"t":"$time_iso8601","uri":"$request_uri"}';""",
        rb'{"t":"2024-05-01T12:00:00+00:00","uri":"/a/collect/b?x=\x22\xC3\xA9"}',
        {"query": 'x="é', "received_at": NOON},
    ),
    "nginx, escape=none": (
        r"""log_format raw escape=none '$time_iso8601 "$request_uri"';""",
        rb'2024-05-01T12:00:00+00:00 "/a/collect/b?x=\x22"',
        {"query": r"x=\x22"},
    ),
    "Apache, a directive": (
        r'LogFormat "%v %h %t \"%r\" %>s %D \"%{X-Forwarded-For}i\"" mine',
        rb'shop 192.0.2.1 [01/May/2024:12:00:00 +0000] "GET /a/collect/b?x=\"1\" HTTP/1.1" 200 512 "192.0.2.7, 192.0.2.8"',
        {"query": 'x="1"', "client_ip": "192.0.2.7", "received_at": NOON},
    ),
    "Apache, quoted as in the configuration": (
        r'"%a %m %U%q %{%Y-%m-%d %H:%M:%S}t %>s"',
        b"192.0.2.7 GET /a/collect/b?x=1 2024-05-01 12:00:00 200",
        {"http_method": "GET", "path": "/a/collect/b", "query": "x=1", "received_at": NOON},
    ),
    "Apache, microseconds since 1970": (
        "%{begin:usec}t %r",
        b"1714564800000000 GET /a/collect/b?x=1 HTTP/1.1",
        {"path": "/a/collect/b", "query": "x=1"},
    ),
    "a server's name for a format": (
        "vhost_combined",
        b't.example.com:443 192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /a/collect/b?x=1 HTTP/1.1" 200 5 "-" "Acme/1"',
        {"query": "x=1", "client_ip": "192.0.2.7", "user_agent": "Acme/1", "received_at": NOON},
    ),
    "a request that is none": ('$remote_addr "$request" $status', b'192.0.2.7 "-" 400', {"fault": "not_a_request"}),
    "a format that is not UTF-8": (
        os.fsdecode(b"\xb1 $request_uri"),
        b"\xb1 /a/collect/b?x=1",
        {"query": "x=1"},
    ),
    "a path that is none": ("$uri $args", b"- x=1", {"fault": "not_a_request"}),
    "a line of another format": ("$uri $args", b"/a/collect/b", {"fault": "malformed_record"}),
}


@pytest.mark.parametrize(("text", "line", "expected"), CASES.values(), ids=CASES)
def test_a_line_is_read(text: str, line: bytes, expected: dict[str, Any]) -> None:
    record = read(text, line)
    seen = {name: str(value) if name == "received_at" else value for name, value in record._asdict().items()}
    assert {name: seen[name] for name in expected} == expected


def test_a_layout_without_a_zone_is_in_the_zone_given() -> None:
    record = read("%{%d.%m.%Y %T}t %r", b"01.05.2024 14:00:00 GET /a/collect/b HTTP/1.1", "Europe/Berlin")
    assert str(record.received_at) == NOON


@pytest.mark.parametrize("name", NAMED)
def test_a_named_format_has_what_the_job_needs(name: str) -> None:
    assert compile_log_format(name).pattern


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("$remote_addr $status", "$request_uri"),
        ("$remote_addr $uri $status", "$args"),
        ("%h %t %U %>s", "%q"),
        ("$args", "$uri"),
    ],
)
def test_what_a_format_lacks_is_named(text: str, missing: str) -> None:
    with pytest.raises(FormatError) as refused:
        compile_log_format(text)
    assert missing in str(refused.value)


OWN = r"""
[tracker]
pattern = '(?P<time>\S+ \S+) (?P<client>\S+) -> (?P<target>\S+)'
time = "layout %d.%m.%Y %H:%M:%S"
is_zoned = false
samples = ["01.05.2024 12:00:00 192.0.2.7 -> /a/collect/b?click_id=a"]

[queue]
is_body_logged = true

[queue.keys]
received_at = "meta.at"
payload = ["blob", "meta.blob"]
"""


def own(folder: Path, data: str, text: str = OWN, **options: Any) -> dict[str, Any]:
    (folder / "formats.toml").write_text(text, encoding="utf-8")
    (folder / "input").write_text(data, encoding="utf-8")
    return etl.run([folder / "input"], folder / "out", formats=folder / "formats.toml", **options)


def test_a_pattern_of_ones_own_is_detected(tmp_path: Path) -> None:
    line = "01.05.2024 12:00:00 192.0.2.7 -> /a/collect/b?click_id=a\n"
    summary = own(tmp_path, line * 3, timezone="Asia/Tokyo")
    assert (summary["inputs"][0]["format"], summary["conversions"]) == ("tracker", 3)
    assert summary["inputs"][0]["time"] == "Asia/Tokyo where no zone is written"


def test_keys_of_ones_own_are_detected(tmp_path: Path) -> None:
    data = '{"meta": {"at": "2024-05-01T12:00:00Z"}, "blob": "{\\"click_id\\": \\"a\\"}"}\n'
    summary = own(tmp_path, data)
    assert (summary["inputs"][0]["format"], summary["conversions"]) == ("queue", 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = [", "is not valid TOML"),
        ("[a]\nwhat = 'x'", "either a pattern or keys"),
        ("[a]\npattern = '('", "not a valid regular expression"),
        ("[a]\npattern = '(?P<time>x)'", "Name a group request, target, path or query"),
        ("[a]\npattern = '(?P<query>x)'\nescape = 'x'", "Known: none"),
        ("[a]\npattern = '(?P<query>x)'\ncolour = 'x'", "'colour'"),
        ("[a.keys]\ncolour = 'x'", "'colour'"),
        ("[a]\npattern = 5", "a text in quotes"),
        ("[a]\npattern = '(?P<query>x)'\nescape = {}", "a text in quotes"),
        ("[a]\npattern = '(?P<query>x)'\nis_zoned = 'no'", "true or false"),
        ("[a]\nmarks = 5\n[a.keys]\npayload = 'x'", "a list of texts"),
        ("[a.keys]\npayload = [1]", "a name or a list of names"),
    ],
)
def test_a_wrong_row_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(EtlError) as refused:
        own(tmp_path, "x\n", text)
    assert words in str(refused.value)
