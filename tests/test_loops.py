"""The loops over bytes give the same compiled as they do as plain Python, whatever the bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.columnar import access_log_parser, byte_loops, json_tokenizer
from tests.effort import draws
from tests.loops import ARE_COMPILED, PLAIN_JSON, PLAIN_LINES, PLAIN_LOOPS, filled, found, values

pytestmark = pytest.mark.skipif(not ARE_COMPILED, reason="the loops are not compiled here")


#: Bytes that mean something to one of the loops, and some that mean nothing.
ODD = (b"&", b"=", b"%", b"%41", b"%e9", b"+", b"a", b"name", "é€😀".encode(), b"\x80", b"\xff")
PARTS = st.lists(st.lists(st.sampled_from(ODD)).map(b"".join), min_size=1, max_size=6)

LINE = b'192.0.2.7 - - [28/Feb/2024:12:00:00 +0100] "GET /a/collect/b?c=d HTTP/1.1" 200 12 "-" "curl/8.5" "x"'
DAMAGE = st.tuples(st.integers(0, len(LINE)), st.integers(0, 2), st.sampled_from(list('" [],?-09A\\\x7f/é')))


@settings(max_examples=draws(100, 300), deadline=None)
@given(PARTS)
def test_texts_are_cut_alike_either_way(parts: list[bytes]) -> None:
    byte_loops.set_seed(2**63 + 5)
    PLAIN_LOOPS.set_seed(2**63 + 5)
    assert filled(byte_loops, parts) == filled(PLAIN_LOOPS, parts)


@settings(max_examples=draws(100, 300), deadline=None)
@given(
    st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 9).map(lambda low: low << 32), max_size=15), st.integers(16, 24)
)
def test_hashes_are_added_alike_either_way(values: list[int], size: int) -> None:
    added = []
    for loops in (byte_loops, PLAIN_LOOPS):
        slots, repeated = np.zeros(size, np.uint64), np.zeros(len(values), np.uint8)
        count = loops.add_hashes(np.array(values, np.uint64), slots, repeated)
        added.append((count, slots.tolist(), repeated.tolist()))
    assert added[0] == added[1]
    assert added[0][0] == len(set(values))


OBJECT = b'{ "a":"b\\n\\u00e9", "cd":-12.50,"e":[{"f":[]},true,null,1e5], "g":{"h":"\\""},"i":false,"jk":null}'
JSON_DAMAGE = st.tuples(st.integers(0, len(OBJECT)), st.integers(0, 2), st.sampled_from(list('"\\{}[],:.-0u \te')))


@settings(max_examples=draws(100, 300), deadline=None)
@given(st.lists(st.lists(JSON_DAMAGE, max_size=2), min_size=1, max_size=3))
def test_texts_are_split_alike_either_way(damages: list[list[tuple[int, int, str]]]) -> None:
    parts = [damaged(OBJECT, damage) for damage in damages]
    assert values(json_tokenizer, parts) == values(PLAIN_JSON, parts)


def damaged(text: bytes, damage: list[tuple[int, int, str]]) -> bytes:
    written = bytearray(text)
    for place, length, byte in damage:
        written[place : place + length] = byte.encode()
    return bytes(written)


@settings(max_examples=draws(100, 300), deadline=None)
@given(st.lists(st.lists(DAMAGE, max_size=2), min_size=1, max_size=3))
def test_lines_are_read_alike_either_way(damages: list[list[tuple[int, int, str]]]) -> None:
    parts = [damaged(line, damage) for damage in damages for line in (LINE, b"shop.example.com " + LINE)]
    assert found(access_log_parser, parts) == found(PLAIN_LINES, parts)


def test_what_is_undamaged_is_regular() -> None:
    assert values(json_tokenizer, [OBJECT])[1] == [1]
    lines = [LINE, LINE.replace(b"collect", b"product"), b"", b"shop.example.com:443 " + LINE]
    assert found(access_log_parser, lines)[1] == [2, 1, 0, 2]
