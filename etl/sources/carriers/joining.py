"""Joins the pieces of records that a carrier cut, such as the 16 KiB pieces of Docker (rules 1.3b, 10.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from etl.sources.carriers.carrier import Carrier
from etl.sources.records.lines import KEPT_BYTES, Batch, Element, as_batch


def split_places(
    batches: Iterator[Batch], rows: tuple[Carrier, ...], starts: Sequence[int], limit: int
) -> Iterator[tuple[int, int]]:
    """Yields where splits may begin: a place behind each start at which no record waits for further pieces.

    Args:
        batches: The lines of the whole input.
        rows: The carriers that cut the records.
        starts: Offsets, ascending.
        limit: As for `Joiner`.

    Yields:
        The offset of a byte within the line before the split's first line, and the number of joined records before it.
    """
    joiners = [Joiner(row, limit) for row in rows]
    wanted = iter(starts)
    start, count, before = next(wanted, None), 0, -1

    def is_idle() -> bool:
        return before >= 0 and all(joiner.is_idle for joiner in joiners)

    for batch in batches:
        place = 0
        while place < len(batch.starts):
            if start is not None and batch.offsets[place] >= start and is_idle():
                yield before + 1, count
                start = next((later for later in wanted if later > batch.offsets[place]), None)
            following = len(batch.starts) if start is None else int(np.searchsorted(batch.offsets, start))
            end = max(place + 1, following)
            part = batch.part(place, end)
            for joiner in joiners:
                part = joiner.feed(part)
            count += len(part.starts)
            place, before = end, int(batch.offsets[end - 1])


class Joiner:
    """Joins the pieces of records that a carrier cut, and keeps the order of their first pieces.

    Records of other streams between the pieces wait until the record before them is whole. At most `limit` bytes wait.
    """

    def __init__(self, row: Carrier, limit: int) -> None:
        if row.pieces is None:
            raise ValueError(f"{row.name} does not cut records")
        self._pieces, self._limit = row.pieces, limit
        self._waiting: list[tuple[Element, list[bytes]]] = []
        self._open: dict[Any, int] = {}
        self._size = 0

    def feed(self, batch: Batch) -> Batch:
        """Returns the records that are whole, with those that waited before."""
        if not self._waiting and not batch.oversized and self._all_whole(batch):
            return batch
        ready: list[Element] = []
        for i, (text, offset) in enumerate(zip(batch.texts(), batch.offsets.tolist(), strict=True)):
            self._add(Element(text, offset, batch.oversized.get(i, len(text))))
            if self._size > self._limit:
                self._open.clear()
                self._size = 0
                ready += self._take(len(self._waiting))
        return as_batch(ready + self._take(min(self._open.values(), default=len(self._waiting))))

    def finish(self) -> Batch:
        """Returns all records that still wait, as far as their pieces came."""
        self._open.clear()
        self._size = 0
        return as_batch(self._take(len(self._waiting)))

    @property
    def is_idle(self) -> bool:
        """Whether no record waits."""
        return not self._waiting

    def _all_whole(self, batch: Batch) -> bool:
        """Whether no record of a batch is cut."""
        return all(map(self._pieces.is_whole, batch.texts()))

    def _add(self, element: Element) -> None:
        """Adds a record to those that wait, or its piece to the record that it continues."""
        is_oversized = element.length > len(element.text)
        is_plain = is_oversized or (not self._open and self._pieces.is_whole(element.text))
        piece = None if is_plain else self._pieces.piece_of(element.text)
        place = self._open.get(piece.stream) if piece else None
        self._size += len(element.text) if self._open or (piece and not piece.is_last) else 0
        if piece is None or (place is None and piece.is_last):
            self._waiting.append((element, []))
            return
        if place is None:
            self._open[piece.stream] = len(self._waiting)
            self._waiting.append((element, [piece.text]))
            return
        self._waiting[place][1].append(piece.text)
        if piece.is_last:
            del self._open[piece.stream]
            self._size = self._size if self._open else 0

    def _take(self, count: int) -> list[Element]:
        """Takes the first records out of those that wait."""
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._open = {stream: place - count for stream, place in self._open.items()}
        return [self._joined(element, texts) for element, texts in taken]

    def _joined(self, element: Element, texts: list[bytes]) -> Element:
        """Returns the record of joined pieces; pieces over the limit become an oversized record."""
        if len(texts) < 2:
            return element
        text = self._pieces.join(element.text, b"".join(texts))
        if len(text) > self._limit:
            return Element(text[:KEPT_BYTES], element.offset, len(text))
        return Element(text, element.offset, len(text))
