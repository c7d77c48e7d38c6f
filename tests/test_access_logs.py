"""The fast way of reading access-log lines gives the same rows as the slow one, whatever the bytes."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources.format import Settings
from etl.sources.readers import access_log
from etl.sources.records.lines import read_lines
from tests.effort import draws
from tests.places import SHARED, reads_shared
from tests.twins import check_lines

CORPORA = SHARED / "corpora" / "access_logs"

REGULAR = (
    b'192.0.2.7 - - [29/Feb/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2 "-" "curl/8.5"\n'
    b'2001:db8::7 - jo [01/May/2024:23:59:59 -0730] "POST /acme/collect/shop HTTP/2" 302 - "http://x" "a b"\n'
    b'192.0.2.7 - - [31/Dec/1999:00:00:00 +0000] "GET /acme/collect/shop? HTTP/2.0" 200 2\n'
    b'a.example.com:443 192.0.2.7 - jo [01/May/2024:12:00:00 +0000] "GET /acme/collect/b?c=d HTTP/1.1" 200 2 "-" "x"\n'
    b'192.0.2.7 - - [01/Jan/2024:00:00:00 +0000] "GET /a b?c HTTP/1.1" 200 2 "-" "-" "-" 0.3\n'
)


def test_regular_lines_are_read_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    (batch,) = read_lines(io.BytesIO(REGULAR.replace(b"29/Feb", b"28/Feb")), 0, len(REGULAR), 10_000)
    exact: list[int] = []
    monkeypatch.setattr(access_log, "_read_slow", lambda batch, i, read: exact.append(i))
    access_log.read_batch(batch)
    assert exact == []
    monkeypatch.undo()
    check_lines(REGULAR)


#: Of each example, six inputs are lines of one: reading few lines costs as much as reading many.
DAMAGES = st.lists(st.tuples(st.integers(0, 2**32), st.integers(1, 6)), min_size=6, max_size=6)


def test_an_address_with_a_zone_is_no_virtual_host() -> None:
    check_lines(b'fe80::1%eth0 192.0.2.7 - - [01/Jan/2024:00:00:00 +0000] "GET /a?c HTTP/1.1" 200 2\n')


@settings(max_examples=draws(15, 50), deadline=None)
@given(DAMAGES)
def test_damaged_lines_read_alike_either_way(inputs: list[tuple[int, int]]) -> None:
    check_lines(b"".join(damaged(*one) for one in inputs))


def damaged(seed: int, damages: int) -> bytes:
    chance = random.Random(seed)
    data = bytearray(REGULAR)
    for _ in range(damages):
        place = chance.randrange(len(data))
        what = chance.choice(
            [b"", b'"', b" ", b"\\", b"\xff", b"[", b"]", b"?", b"-", b"0", b"9", b"\n", b"\r\n", b"A"]
        )
        data[place : place + chance.randint(0, 2)] = what
    return bytes(data) + b"\n"


@settings(max_examples=draws(100, 300), deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_line_without_the_word_is_counted_as_it_would_be_if_it_were_read(seed: int, damages: int) -> None:
    chance = random.Random(seed)
    data = bytearray(REGULAR + REGULAR.replace(b"collect", b"product"))
    for _ in range(damages):
        place = chance.randrange(len(data))
        data[place : place + chance.randint(0, 2)] = chance.choice([b"", b'"', b" ", b"\\", b"[", b"0", b"39", b"-"])
    quick = access_log.start((), Settings(word=b"collect"))
    for batch in read_lines(io.BytesIO(bytes(data)), 0, len(data), 10_000):
        faults = access_log.read_batch(batch, lambda _i: quick, b"collect")["fault"]
        for line, fault in zip(batch.texts(), faults, strict=True):
            exact = (access_log.blank_or_comment(line) or access_log.read_line(line)).fault
            assert fault == exact or (fault == "not_a_postback" and exact is None and b"collect" not in line), line


@settings(max_examples=draws(12, 40), deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=5, max_size=5))
def test_no_bytes_raise(inputs: list[bytes]) -> None:
    check_lines(b"\n".join(inputs))


@reads_shared
def test_real_logs_read_alike_either_way() -> None:
    for path in sorted(CORPORA.rglob("*.log")):
        check_lines(path.read_bytes())
