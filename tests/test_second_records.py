"""A record in which a second one begins is malformed, wherever the first is torn (rules 1.3c)."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest

from etl.sources.format import Format, Settings
from etl.sources.formats.log_format import NAMED, compile_log_format
from etl.sources.formats.registry import BY_NAME, FORMATS, start_reader
from etl.sources.readers import access_log
from etl.sources.readers.second_records import head_of, is_second_record
from etl.sources.record import Record, as_columns
from etl.sources.records.lines import read_lines
from tests.growth import growth

COMBINED = b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2 "-" "Acme/1"'
CUSTOM = (
    (NAMED["main"], COMBINED + b' "-"'),
    (
        "$remote_addr | [$time_local] | $request | $status | $http_referer | $http_user_agent",
        b"192.0.2.7 | [01/May/2024:12:00:00 +0000] | GET /acme/collect/shop?click_id=a HTTP/1.1 | 200 | - | Acme/1",
    ),
    (
        '$time_iso8601 $remote_addr collect: "$request" $status',
        b'2024-05-01T12:00:00+00:00 192.0.2.7 collect: "GET /acme/collect/shop?click_id=a HTTP/1.1" 200',
    ),
)
LINES = [
    *((row, sample) for row in FORMATS if row.pattern or row.family in ("access_log", "w3c") for sample in row.samples),
    (BY_NAME["combined"], COMBINED),
    (BY_NAME["combined"], COMBINED.replace(b"192.0.2.7", b"shop.example.com:443 192.0.2.7") + b' 0.003 "x"'),
    *((compile_log_format(text), line) for text, line in CUSTOM),
]
#: Lines of one request that have a head: a time and an address, or a method or scheme.
HEADED = [
    pytest.param(row, line, id=f"{row.name} {i}")
    for i, (row, line) in enumerate(LINES)
    if b"collect" in line and re.search(rb"\d\d:\d\d|https?://", line)
]
#: Where a torn line cannot be told from a whole one: its first words may be anything, or it ends behind a client, as
#: behind the address of a proxy that stands before it. A line without a time may end before its address.
UNTOLD = {
    "aws_s3": rb"\S*(?: \S*(?: \[[^\]]*)?)?",
    "combined": rb"[\d.]+ |s\S*|shop\S* [\d.]+ ",
    "common": rb"[\d.]+ ",
    "aspnet": rb"(?:(?!https?://.).)*",
}


def another(line: bytes) -> bytes:
    """The record of another sender: another address, time and click."""
    for old, new in (
        (b"192.0.2.7", b"198.51.100.9"),
        (b"2024-05-01", b"2025-06-02"),
        (b"01/May/2024", b"02/Jun/2025"),
        (b"12:00:0", b"13:11:2"),
        (b"click_id=a", b"click_id=b"),
    ):
        line = line.replace(old, new)
    return line


def read(row: Format, line: bytes) -> Record:
    return start_reader(row, Settings(word=b"/collect/"))(line)


@pytest.mark.parametrize(("row", "line"), HEADED)
def test_a_line_cut_anywhere_with_another_behind_it_is_malformed(row: Format, line: bytes) -> None:
    second = another(line)
    assert read(row, line).fault is None
    for place in range(1, len(line) + 1):
        found = read(row, line[:place] + second)
        if re.fullmatch(UNTOLD.get(row.name, b"(?!)"), line[:place]):
            continue
        assert found.fault in ("malformed_record", "unread_postback"), line[:place] + second


@pytest.mark.parametrize(("row", "line"), HEADED)
def test_a_line_that_is_only_cut_off_holds_no_second_record(row: Format, line: bytes) -> None:
    for place in range(1, len(line)):
        assert not is_second_record(read(row, line[:place])), line[:place]


@pytest.mark.parametrize(("row", "line"), HEADED)
def test_what_follows_a_whole_head_is_named_with_its_place(row: Format, line: bytes) -> None:
    second = another(line)
    for glued in (line, line[: len(line) * 3 // 4]):
        message = read(row, glued + second).fault_message or ""
        begin = re.search(r"a second record begins inside this one, at byte (\d+)", message)
        assert begin, message
        first_word = len(glued) - glued.rfind(b" "), second.find(b" ") + 2
        assert -first_word[0] <= int(begin[1]) - len(glued) - 1 <= first_word[1]


@pytest.mark.parametrize(("row", "line"), HEADED)
def test_a_second_record_that_is_cut_short_itself_is_found(row: Format, line: bytes) -> None:
    second = another(line)
    for place in range(max(second.find(b"click_id="), second.index(b"/collect/")), len(second)):
        found = read(row, line[: len(line) * 3 // 4] + second[:place])
        assert found.fault == "malformed_record", second[:place]


@pytest.mark.parametrize("line", [COMBINED, COMBINED + b' 0.003 "x"', COMBINED[: COMBINED.index(b' "-"')]])
def test_the_fast_path_of_access_logs_finds_what_the_slow_one_finds(line: bytes) -> None:
    torn = [line[:place] + another(line) for place in range(1, len(line) + 1)]
    (batch,) = read_lines(io.BytesIO(b"\n".join(torn) + b"\n"), 0, 1 << 20, 1 << 20)
    fast = access_log.read_batch(batch)
    slow = as_columns([access_log.read_line(text) for text in torn])
    assert all(fast[name].equals(slow[name]) for name in fast)
    assert [place for place, fault in enumerate(fast["fault"], 1) if fault is None] == [len(b"192.0.2.7 ")]


@pytest.mark.parametrize(
    "line",
    [
        COMBINED.replace(b"click_id=a", b"click_id=a&url=https://shop.example.com/acme/collect/shop?click_id=b"),
        COMBINED.replace(b'"-"', b'"https://t.example.com/acme/collect/shop?click_id=b"'),
        COMBINED.replace(b"Acme/1", b"Acme [01/May/2024:12:00:00 +0000]"),
        COMBINED.replace(b"Acme/1", rb"Acme [01/May/2024:12:00:00 +0000] \"GET / HTTP/1.1\" 200"),
        COMBINED + b' [01/May/2024:12:00:00 +0000] "x"',
        COMBINED.replace(b" - - ", b" - Jane M Doe "),
        COMBINED.replace(b"192.0.2.7", b"198.51.100.7, 192.0.2.7"),
        COMBINED.replace(b"192.0.2.7", b"::ffff:192.0.2.7"),
        COMBINED.replace(b"192.0.2.7", b"host-10.example.com"),
    ],
)
def test_an_address_or_a_time_inside_a_value_is_no_second_record(line: bytes) -> None:
    assert read(BY_NAME["combined"], line).fault is None


def test_in_plain_text_only_the_address_of_another_host_is_a_value() -> None:
    def fault_of(line: bytes) -> str | None:
        return read(BY_NAME["plain_text"], line).fault

    own = b"https://t.example.com/acme/collect/shop?click_id=a"
    assert fault_of(own + b"&url=https://shop.example.com/thanks") is None
    assert fault_of(own + b"&url=" + own) == "malformed_record"
    assert fault_of(own + own) == "malformed_record"
    assert fault_of(b"/acme/collect/shop?click_id=a" + b"GET /acme/collect/shop?click_id=b") == "malformed_record"
    assert fault_of(own + b"&at=2024-05-01 12:00:00") is None


def test_torn_and_glued_json_lines_say_so() -> None:
    line, second = b'{"click_id": "a", "items": [{"id": "x"}]}', b'{"click_id": "b"}'
    for place in range(1, len(line) + 1):
        found = read(BY_NAME["jsonl"], line[:place] + second)
        assert found.fault == "malformed_record"
        if line[place - 1 : place] not in b":,[ ":
            assert is_second_record(found), line[:place]
    assert not is_second_record(read(BY_NAME["jsonl"], line[:-3]))


def test_a_row_in_a_row_of_a_table_is_malformed() -> None:
    columns = (("received_at", "at"), ("url", "url"))
    reader = start_reader(BY_NAME["csv"], Settings(columns=columns))
    row, second = (
        b"2024-05-01 12:00:00,/acme/collect/shop?click_id=a,",
        b"2025-06-02 13:11:20,/acme/collect/shop?click_id=b,",
    )
    assert reader(b"at,url,note").fault == "header"
    assert reader(row).fault is None
    assert reader(b"at,url,note").fault == "header"
    for place in range(1, len(row) + 1):
        assert reader(row[:place] + second).fault == "malformed_record", row[:place]
    assert is_second_record(reader(row + second))


@pytest.mark.parametrize("name", ["combined", "aws_alb", "aws_elb", "aws_s3", "envoy", "nginx_proxy_manager"])
def test_a_line_that_ends_within_its_user_agent_keeps_what_stands_before(name: str) -> None:
    row = BY_NAME[name]
    line = COMBINED if name == "combined" else row.samples[0]
    whole = read(row, line)
    assert whole.user_agent == "Acme/1"
    if name == "aws_alb":  # the time of the request stands behind the user agent
        whole = whole._replace(received_at=datetime(2024, 5, 1, 12, 0, 1, tzinfo=UTC))
    begin = line.index(b'"Acme/1"')
    for place in range(begin + 1, begin + len(b'"Acme/1')):
        assert read(row, line[:place]) == whole._replace(user_agent=None)


@pytest.mark.parametrize("name", ["aws_s3", "haproxy", "iis_native"])
@pytest.mark.parametrize("unit", [b"00.02:00:", b"1714564800."])
def test_a_head_is_sought_once_in_a_word(name: str, unit: bytes) -> None:
    head = head_of(BY_NAME[name].pattern or b"")
    assert head
    assert growth(lambda size: lambda: head.search(unit * (size // len(unit))), 4_096) is None
