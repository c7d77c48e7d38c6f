"""The loops over bytes give the same compiled as they do as plain Python, whatever the bytes."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.columnar import access_log_parser, byte_loops, json_tokenizer
from tests.effort import draws

PACKAGE = Path(byte_loops.__file__).parents[1]

pytestmark = pytest.mark.skipif(not byte_loops.__file__.endswith(".so"), reason="the loops are not compiled here")


def interpreted(path: str) -> ModuleType:
    loader = SourceFileLoader(Path(path).stem, str(PACKAGE / path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))  # type: ignore[arg-type]
    loader.exec_module(module)
    return module


PLAIN_LOOPS = interpreted("columnar/byte_loops.py")
PLAIN_JSON = interpreted("columnar/json_tokenizer.py")
PLAIN_LINES = interpreted("columnar/access_log_parser.py")

#: Bytes that mean something to one of the loops, and some that mean nothing.
ODD = (b"&", b"=", b"%", b"%41", b"%e9", b"+", b"a", b"name", "é€😀".encode(), b"\x80", b"\xff")
PARTS = st.lists(st.lists(st.sampled_from(ODD)).map(b"".join), min_size=1, max_size=6)

LINE = b'192.0.2.7 - - [28/Feb/2024:12:00:00 +0100] "GET /a/collect/b?c=d HTTP/1.1" 200 12 "-" "curl/8.5" "x"'
DAMAGE = st.tuples(st.integers(0, len(LINE)), st.integers(0, 2), st.sampled_from(list('" [],?-09A\\\x7f/é')))


def placed(parts: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parts with a byte after each, as a buffer, and where each begins and ends."""
    ends = np.cumsum([len(part) + 1 for part in parts]) - 1
    return np.frombuffer(b"&".join([*parts, b""]), np.uint8), ends - [len(part) for part in parts], ends


def filled(loops: ModuleType, parts: list[bytes]) -> list[object]:
    """All that the loops of `byte_loops` make of some parts."""
    buffer, starts, ends = placed(parts)
    decoded, decoded_ends = np.zeros_like(buffer), np.zeros_like(ends)
    loops.decode_percent(buffer.data, starts, ends, decoded.data, decoded_ends)
    forms, spans, slots = np.zeros_like(buffer), np.zeros((2, len(buffer)), np.int64), np.full(256, -1, np.int32)
    pairs = np.zeros((4, len(buffer)), np.int64)
    counts = loops.split_forms(buffer.data, ends, forms.data, spans, slots, pairs)
    views, malformed = np.zeros((len(ends), 4), np.uint32), np.zeros_like(ends)
    marks, table = np.zeros(len(ends), np.uint8), np.arange(256).astype(np.uint8)
    loops.write_views(buffer.data, starts, ends, 3, views)
    for part in range(len(buffer) // 8 + 1):
        loops.mark_bytes(views, views.view(np.uint8), buffer[8 * part :].data, part, table, marks)
    faults = loops.find_malformed(buffer.data, starts, ends, malformed)
    arrays = decoded, decoded_ends, forms, spans, slots, pairs, views, malformed, marks
    numbers, firsts = np.zeros(len(ends), np.int32), np.zeros_like(ends)
    distinct = loops.number_texts(buffer.data, starts, ends, slots.copy() * 0 - 1, firsts, numbers)
    return [distinct, numbers.tolist(), firsts.tolist(), counts, faults, *(array.tolist() for array in arrays)]


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


def values(loops: ModuleType, parts: list[bytes]) -> list[object]:
    """All that the loops of `json_tokenizer` make of some parts."""
    buffer, starts, ends = placed(parts)
    found, is_regular = np.zeros((7, len(buffer) + len(parts)), np.int64), np.zeros(len(parts), np.uint8)
    count = loops.split_texts(buffer.data, starts, ends, found, is_regular.data)
    split = is_regular.tolist()
    numbers = (found[3, :count] - found[2, :count]).astype(np.int32)
    earlier = np.zeros(count, np.int64)
    loops.find_repeated(found, numbers, np.full(len(buffer), -1, np.int64), earlier, is_regular.data)
    written, written_ends = np.zeros_like(buffer), np.zeros_like(ends)
    loops.drop_blanks(buffer.data, starts, ends, written.data, written_ends)
    arrays = found[:, :count], is_regular, earlier, written, written_ends
    return [count, split, *(array.tolist() for array in arrays)]


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


def found(lines: ModuleType, parts: list[bytes]) -> list[object]:
    buffer, starts, ends = placed(parts)
    places, kinds = np.zeros((len(lines.FOUND), len(parts)), np.int64), np.zeros(len(parts), np.uint8)
    lines.read_lines(buffer.data, starts, ends, b"collect", places, kinds)
    return [places.tolist(), kinds.tolist()]


@settings(max_examples=draws(100, 300), deadline=None)
@given(st.lists(st.lists(DAMAGE, max_size=2), min_size=1, max_size=3))
def test_lines_are_read_alike_either_way(damages: list[list[tuple[int, int, str]]]) -> None:
    parts = [damaged(line, damage) for damage in damages for line in (LINE, b"shop.example.com " + LINE)]
    assert found(access_log_parser, parts) == found(PLAIN_LINES, parts)


def test_what_is_undamaged_is_regular() -> None:
    assert values(json_tokenizer, [OBJECT])[1] == [1]
    lines = [LINE, LINE.replace(b"collect", b"product"), b"", b"shop.example.com:443 " + LINE]
    assert found(access_log_parser, lines)[1] == [2, 1, 0, 2]
