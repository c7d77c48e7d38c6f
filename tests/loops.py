"""What the loops of `etl.columnar` make of some bytes: compiled, and as plain Python."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from etl.columnar import byte_loops

PACKAGE: Final = Path(byte_loops.__file__).parents[1]
ARE_COMPILED: Final = byte_loops.__file__.endswith(".so")


def interpreted(path: str) -> ModuleType:
    loader = SourceFileLoader(Path(path).stem, str(PACKAGE / path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))  # type: ignore[arg-type]
    loader.exec_module(module)
    return module


PLAIN_LOOPS = interpreted("columnar/byte_loops.py")
PLAIN_JSON = interpreted("columnar/json_tokenizer.py")
PLAIN_LINES = interpreted("columnar/access_log_parser.py")


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
    pairs, suspects = np.zeros((4, len(buffer)), np.int64), np.zeros(len(buffer) + 1, np.int64)
    counts = loops.split_forms(buffer.data, ends, forms.data, spans, slots, pairs, suspects)
    views, malformed = np.zeros((len(ends), 4), np.uint32), np.zeros_like(ends)
    marks, table = np.zeros(len(ends), np.uint8), np.arange(256).astype(np.uint8)
    loops.write_views(buffer.data, starts, ends, 3, views)
    for part in range(len(buffer) // 8 + 1):
        loops.mark_bytes(views, views.view(np.uint8), buffer[8 * part :].data, part, table, marks)
    faults = loops.find_malformed(buffer.data, starts, ends, malformed)
    arrays = decoded, decoded_ends, forms, spans, slots, pairs, suspects, views, malformed, marks
    numbers, firsts = np.zeros(len(ends), np.int32), np.zeros_like(ends)
    distinct = loops.number_texts(buffer.data, starts, ends, slots.copy() * 0 - 1, firsts, numbers)
    return [distinct, numbers.tolist(), firsts.tolist(), counts, faults, *(array.tolist() for array in arrays)]


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


def found(lines: ModuleType, parts: list[bytes]) -> list[object]:
    buffer, starts, ends = placed(parts)
    places, kinds = np.zeros((len(lines.FOUND), len(parts)), np.int64), np.zeros(len(parts), np.uint8)
    lines.read_lines(buffer.data, starts, ends, b"collect", places, kinds)
    return [places.tolist(), kinds.tolist()]
