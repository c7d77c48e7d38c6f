"""Reads small inputs together, those in one format as one batch.

A batch costs the same time whether it has ten records or a thousand (see `bench/README.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import polars as pl

from etl.columnar.string_buffers import Positions
from etl.sources.format import LINES, PARQUET, Reader
from etl.sources.formats.registry import start_reader
from etl.sources.records.lines import Batch
from etl.sources.splits import Split, as_requests, batch_reader, lineage_of, opened_parts, read_split

#: Inputs with fewer bytes, decompressed, are read together until they have that many.
SMALL_BYTES: Final = 2**18
TOGETHER_BYTES: Final = 2**22


def group_small(splits: list[Split]) -> Iterator[tuple[Split, ...]]:
    """Yields splits in their order, each alone, but neighbours that are small inputs together.

    A small Parquet file may have any number of rows, so it stands alone.
    """
    together: list[Split] = []
    size = 0
    cut = {split.source_digest for split in splits if split.start}
    for split in splits:
        is_small = split.end < SMALL_BYTES and split.framing != PARQUET and split.source_digest not in cut
        if together and not (is_small and size + split.end <= TOGETHER_BYTES):
            yield tuple(together)
            together, size = [], 0
        if is_small:
            together.append(split)
            size += split.end
        else:
            yield (split,)
    if together:
        yield tuple(together)


def read_together(splits: tuple[Split, ...]) -> tuple[pl.DataFrame | None, int]:
    """Reads whole inputs.

    Returns:
        The rows that `read_split` yields for each of them, one after another, or None if they have no records; and the
        number of bytes read from the stored files.

    Raises:
        InputError: An input cannot be read to its end.
    """
    kinds: dict[object, list[int]] = {}
    for number, split in enumerate(splits):
        kinds.setdefault(_kind_of(split) or number, []).append(number)
    frames, owners, size = [], [np.empty(0, np.int64)], 0
    for numbers in kinds.values():
        alike = [splits[number] for number in numbers]
        for rows, inputs, read in _read_alike(alike) if _kind_of(alike[0]) else _read_alone(alike[0]):
            frames.append(rows)
            owners.append(np.array(numbers)[inputs])
            size += read
    if not frames:
        return None, size
    whole = pl.concat(frames, rechunk=True)
    order = np.argsort(np.concatenate(owners), kind="stable")
    return whole if len(frames) == 1 else whole[order], size


def _kind_of(split: Split) -> object:
    """Returns an equal value for inputs whose lines may be parsed in one batch; None if those of the input may not.

    Carriers, headers and arrays need the records of one input in order, and a pattern of the user a limit for each.
    """
    settings = split.settings
    is_plain = split.framing == LINES and not split.carriers and split.row.family != "custom"
    if not is_plain or settings.formats or settings.has_array_bodies:
        return None
    return split.row.name, settings, split.max_record_bytes


def _read_alone(split: Split) -> Iterator[tuple[pl.DataFrame, Positions, int]]:
    """Yields the rows of an input, for each the number 0, and the number of bytes read."""
    for rows, size in read_split(split):
        yield rows, np.zeros(rows.height, np.int64), size


def _read_alike(splits: list[Split]) -> Iterator[tuple[pl.DataFrame, Positions, int]]:
    """Yields the rows of inputs of one kind, for each row the number of its input, and the number of bytes read."""
    parts = [(number, opened.raws, size) for number, split in enumerate(splits) for opened, size in opened_parts(split)]
    if not parts:
        return
    batch = _joined([part for _, part, _ in parts])
    heights = [len(part.starts) for _, part, _ in parts]
    inputs = np.repeat(np.array([number for number, _, _ in parts]), heights)
    first = splits[0]
    read = batch_reader(first.row, first.framing, first.settings, reader_at=_reader_at(splits, inputs))
    begins = np.flatnonzero(np.diff(inputs, prepend=-1))
    numbers = np.arange(len(inputs)) - np.repeat(begins, np.diff(begins, append=len(inputs)))
    columns = {
        **read(batch),
        **lineage_of(first, batch),
        "source": pl.Series([split.source for split in splits]).gather(inputs),
        "source_digest": pl.Series([split.source_digest for split in splits]).gather(inputs),
        "record_no": pl.Series(numbers + 1),
    }
    yield as_requests(columns, first, first.first_record), inputs, sum(size for _, _, size in parts)


def _reader_at(splits: list[Split], inputs: Positions) -> Callable[[int], Reader]:
    """Returns what gives the reader of a record: each input has its own, which may learn from its earlier records."""
    readers: dict[int, Reader] = {}

    def reader_at(i: int) -> Reader:
        number = int(inputs[i])
        if number not in readers:
            readers[number] = start_reader(splits[number].row, splits[number].settings)
        return readers[number]

    return reader_at


def _joined(batches: list[Batch]) -> Batch:
    """Returns the records of all batches in one batch."""
    shifts = np.cumsum([0, *(len(batch.buffer) for batch in batches)])
    rows = np.cumsum([0, *(len(batch.starts) for batch in batches)])
    return Batch(
        np.concatenate([batch.buffer for batch in batches]),
        np.concatenate([batch.starts + shift for batch, shift in zip(batches, shifts, strict=False)]),
        np.concatenate([batch.ends + shift for batch, shift in zip(batches, shifts, strict=False)]),
        np.concatenate([batch.offsets for batch in batches]),
        {
            first + i: length
            for batch, first in zip(batches, rows.tolist(), strict=False)
            for i, length in batch.oversized.items()
        },
    )
