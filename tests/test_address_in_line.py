"""Lines that no format reads: read by the one address with the collect path, or rejected, never skipped."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import etl
from etl.sources.format import Settings
from etl.sources.formats.registry import BY_NAME, start_reader
from etl.sources.readers.address_in_line import FORMAT, describe, read_line

GIN = b'[GIN] 2024/05/01 - 12:00:0%d | 200 |    1.2ms |       192.0.2.%d | GET  "/acme/collect/shop?click_id=abc%d&x=1"'
READ = start_reader(FORMAT, Settings(word=b"collect"))

#: A line, and what is read of it: method, status, client, time and query.
LINES = {
    "gin": (GIN % (1, 1, 1), "GET 200 192.0.2.1 2024-05-01T12:00:01 click_id=abc1&x=1"),
    "uWSGI, with counts that look like a status": (
        (
            b"[pid: 8|app: 0|req: 1/1] 192.0.2.1 () {40 vars in 500 bytes} [Wed May  1 12:00:01 2024] GET "
            b"/acme/collect/shop?click_id=a => generated 2 bytes in 3 msecs (HTTP/1.1 404) 2 headers in 70 bytes"
        ),
        "GET 404 192.0.2.1 2024-05-01T12:00:01 click_id=a",
    ),
    "php -S": (
        b"[Wed May  1 12:00:01 2024] 192.0.2.1:53211 [200]: POST /acme/collect/shop?click_id=a",
        "POST 200 192.0.2.1 2024-05-01T12:00:01 click_id=a",
    ),
    "Rails": (
        b'Started GET "/acme/collect/shop?click_id=a" for 192.0.2.1 at 2024-05-01 14:00:01 +0200',
        "GET None 192.0.2.1 2024-05-01T12:00:01 click_id=a",
    ),
    "Rails, with a logger's own time of the same second": (
        (
            b'I, [2024-05-01T12:00:01.250000 #8] INFO : Started GET "/acme/collect/shop?click_id=a" for 2001:db8::7 at '
            b"2024-05-01 12:00:01 +0000"
        ),
        "GET None 2001:db8::7 2024-05-01T12:00:01.250000 click_id=a",
    ),
    "bunny.net": (
        b"HIT|200|1714564801123|4120|12|192.0.2.1|-|https://t.example.com/acme/collect/shop?click_id=a|DE|Acme/1.2.3|D",
        "None 200 192.0.2.1 2024-05-01T12:00:01.123000 click_id=a",
    ),
    "Squid": (
        (
            b"1714564801.123      5 192.0.2.1 TCP_MISS/200 500 GET http://t.example.com/acme/collect/shop?click_id=a - "
            b"HIER_DIRECT/198.51.100.1 text/html"
        ),
        "GET 200 192.0.2.1 2024-05-01T12:00:01.123000 click_id=a",
    ),
    "key and value, with the query apart": (
        (
            b'time="01/May/2024:12:00:01 +0000" method="GET" src="192.0.2.1" status="200" '
            b'uri_path="/acme/collect/shop" '
            b'uri_query="click_id=a"'
        ),
        "GET 200 192.0.2.1 2024-05-01T12:00:01 click_id=a",
    ),
    "key and value, without quotes": (
        b"time=2024-05-01T12:00:01Z level=info method=GET path=/acme/collect/shop?click_id=a status=200 ip=192.0.2.1",
        "GET 200 192.0.2.1 2024-05-01T12:00:01 click_id=a",
    ),
    "a raw blank within a quoted request": (
        b'@ 192.0.2.1 "GET /acme/collect/shop?click_id=a&name=B C HTTP/1.1" 200',
        "GET 200 192.0.2.1 None click_id=a&name=B C",
    ),
    "two different times: none is guessed": (
        b"at 2024-05-01T12:00:01Z, read 2024-05-01T12:00:09Z: GET /acme/collect/shop?click_id=a",
        "GET None None None click_id=a",
    ),
    "two clients: none is guessed": (
        b"@ 192.0.2.1 via 192.0.2.2 GET /acme/collect/shop?click_id=a",
        "GET None None None click_id=a",
    ),
    "an address in the referer": (
        b'@ GET "/acme/collect/shop?click_id=a" referer="https://t.example.com/acme/collect/shop?click_id=b"',
        "GET None None None click_id=a",
    ),
    "an address without a method beside the request is a referer": (
        b'@ 200 "GET /acme/collect/shop?click_id=a" "https://t.example.com/acme/collect/shop?click_id=b"',
        "GET 200 None None click_id=a",
    ),
    "an address in a parameter's value": (
        b"@ GET /acme/collect/shop?click_id=a&page=https://www.example.com/x/collect/y?z=1 200",
        "GET 200 None None click_id=a&page=https://www.example.com/x/collect/y?z=1",
    ),
    "the request and its address again": (
        b'@ "GET /acme/collect/shop?click_id=a HTTP/1.1" uri="/acme/collect/shop?click_id=a" rt=0.1',
        "GET None None None click_id=a",
    ),
    "brackets after the time of a combined line": (
        b'192.0.2.1 - - [01/May/2024:12:00:01 +0000] [0.003] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2',
        "GET 200 192.0.2.1 2024-05-01T12:00:01 click_id=a",
    ),
}

#: Lines that stay unread, and their fault.
FAULTS = {
    "cut off within its quotes": (GIN[:-16] % (1, 1), "malformed_record"),
    "two requests": (GIN % (1, 1, 1) + GIN % (2, 2, 2), "malformed_record"),
    "a second head within the first": (
        b"[GIN] 2024/05/01 - 12:00:00 | 200 |    1." + GIN % (2, 2, 2),
        "malformed_record",
    ),
    "a second address glued to the first": (
        b"@ GET https://t.example.com/acme/collect/shop?click_id=ahttps://t.example.com/acme/collect/shop?click_id=b",
        "malformed_record",
    ),
    "a combined line that is cut off": (
        b'192.0.2.1 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a&va',
        "malformed_record",
    ),
    "a path without a query": (b"@ GET /acme/collect/shop 200", "unread_postback"),
    "an address within a parameter of another request": (
        b"@ GET /log?to=/acme/collect/shop?click_id=a",
        "unread_postback",
    ),
    "an application's own line": (b"Listening on :8080", "not_a_request"),
    "a route": (b"[GIN-debug] GET    /:account/collect/:slug --> main.collect (3 handlers)", "not_a_request"),
}


@pytest.mark.parametrize(("line", "expected"), LINES.values(), ids=LINES)
def test_a_line_is_read_by_its_address(line: bytes, expected: str) -> None:
    record = READ(line)
    assert record.fault is None, record
    time = record.received_at and record.received_at.replace(tzinfo=None).isoformat()
    seen = (record.http_method, record.http_status, record.client_ip, time, record.query)
    assert " ".join(map(str, seen)) == expected
    assert record.path == "/acme/collect/shop"


@pytest.mark.parametrize(("line", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_line_that_cannot_be_read_is_never_guessed(line: bytes, fault: str) -> None:
    assert READ(line).fault == fault


@pytest.mark.parametrize("name", ["combined", "plain_text", "haproxy", "jsonl"])
def test_lines_in_no_format_among_others_are_read(name: str) -> None:
    record = start_reader(BY_NAME[name], Settings(word=b"collect"))(GIN % (1, 1, 1))
    assert (record.fault, record.query) == (None, "click_id=abc1&x=1")


def test_every_cut_of_a_line_with_a_second_record_behind_it_is_malformed() -> None:
    line, second = GIN % (1, 1, 1), GIN % (2, 2, 2)
    for cut in range(8, len(line) + 1):
        record = READ(line[:cut] + second)
        if b"abc1" in line[:cut] or b"12:00:01" in line[:cut]:
            assert record.fault == "malformed_record", line[:cut]


def test_the_places_of_what_is_read_are_described_without_digits() -> None:
    assert dict(describe(GIN % (1, 1, 1), Settings())) == {
        "time": "behind '[GIN] '",
        "status": "behind ' 00:00:00 | '",
        "client": "behind '0ms |       '",
        "address": "behind '0.0 | GET  \"'",
    }


def test_a_run_reads_such_a_log_and_says_where(tmp_path: Path) -> None:
    lines = [b"[GIN-debug] Listening and serving HTTP on :8080", *(GIN % (i, i, i) for i in (1, 2, 3))]
    (tmp_path / "gin.log").write_bytes(b"\n".join(lines) + b"\n")
    summary = etl.run([tmp_path / "gin.log"], tmp_path / "out")
    assert summary["inputs"][0]["format"] == "address_in_line"
    assert [*summary["inputs"][0]["found"]] == ["time", "status", "client", "address"]
    assert summary["skipped"]["by_reason"] == {"not_a_request": 1}
    rows = pl.read_parquet(tmp_path / "out" / "conversions" / "*.parquet")
    assert rows["match_key"].to_list() == ["abc1", "abc2", "abc3"]
    assert rows["http_status"].to_list() == [200, 200, 200]


def test_a_line_is_not_read_without_an_address() -> None:
    assert read_line(b"nothing here", Settings()) is None
