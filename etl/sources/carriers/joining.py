"""Joins the pieces of records that a carrier cut, such as the 16 KiB pieces of Docker (rules 1.3b, 10.3)."""

from __future__ import annotations

from typing import Any

from etl.sources.carriers.carrier import Carrier
from etl.sources.records.lines import KEPT_BYTES, Batch, Element, as_batch


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
                ready += self._take(len(self._waiting))
        return as_batch(ready + self._take(min(self._open.values(), default=len(self._waiting))))

    def finish(self) -> Batch:
        """Returns all records that still wait, as far as their pieces came."""
        self._open.clear()
        return as_batch(self._take(len(self._waiting)))

    def _all_whole(self, batch: Batch) -> bool:
        """Whether no record of a batch is cut."""
        return all(map(self._pieces.is_whole, batch.texts()))

    def _add(self, element: Element) -> None:
        """Adds a record to those that wait, or its piece to the record that it continues."""
        is_oversized = element.length > len(element.text)
        is_plain = is_oversized or (not self._open and self._pieces.is_whole(element.text))
        piece = None if is_plain else self._pieces.piece_of(element.text)
        place = self._open.get(piece.stream) if piece else None
        self._size += len(element.text) if self._open or piece else 0
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

    def _take(self, count: int) -> list[Element]:
        """Takes the first records out of those that wait."""
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._open = {stream: place - count for stream, place in self._open.items()}
        if not self._open:
            self._size = 0
        return [self._joined(element, texts) for element, texts in taken]

    def _joined(self, element: Element, texts: list[bytes]) -> Element:
        """Returns the record of joined pieces; pieces over the limit become an oversized record."""
        if len(texts) < 2:
            return element
        text = self._pieces.join(element.text, b"".join(texts))
        if len(text) > self._limit:
            return Element(text[:KEPT_BYTES], element.offset, len(text))
        return Element(text, element.offset, len(text))
