"""Opens carriers: takes batches of records, and returns batches of what they carry.

A carried record keeps the offset of the outermost record. Its raw text is the outermost record (rules 10.3), or, where
a record carries several, what the innermost of such carriers carries, so that the text can be read and redacted again.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from etl.columnar import json_codec
from etl.sources.carriers.carrier import Carrier, Content
from etl.sources.readers.json_matching import Mark, mark_of, value_at
from etl.sources.records.lines import Batch, Element, as_batch

#: Carriers within carriers are opened to this depth.
MAX_DEPTH: Final = 4

#: The messages of one record may decompress to this many bytes; a record that exceeds it is not opened.
MAX_INFLATED: Final = 32 * 1024 * 1024

_GZIP: Final = b"\x1f\x8b"


class Carried(NamedTuple):
    """A text with the raw record around it, the innermost carrier's time, and whether a carrier held it, or nothing."""

    text: bytes
    raw: bytes
    time: str | None
    is_carried: bool
    is_empty: bool


class Opened(NamedTuple):
    """A batch of records after their carriers were opened.

    Attributes:
        records: What is read by a format.
        raws: The raw record of each record.
        times: For each record, the carrier's time as it is written; None if there is none.
        is_carried: For each record, whether a carrier held it.
        is_empty: For each record, whether its carrier held no text.
    """

    records: Batch
    raws: Batch
    times: list[str | None]
    is_carried: list[bool]
    is_empty: list[bool]


class OpeningStep(NamedTuple):
    """What one carrier holds, and whether it may hold several texts."""

    contents: list[Content]
    is_several: bool = False


class TooMuchError(ValueError):
    """The messages of a record decompress to more than MAX_INFLATED bytes."""


class Level:
    """Carriers at one depth; a record is opened by the first that recognises it."""

    def __init__(self, rows: tuple[Carrier, ...]) -> None:
        self._prefixes = [re.compile(row.prefix, re.DOTALL) for row in rows if row.prefix]
        self._unpackers = [row.unpack for row in rows if row.unpack]
        self._keyed: list[tuple[Carrier, tuple[Mark, ...]]] = [
            (row, tuple(map(mark_of, row.marks))) for row in rows if row.marks
        ]
        self.reads_json = bool(self._unpackers or self._keyed)

    def prefix_of(self, text: bytes) -> re.Match[bytes] | None:
        """Returns the match of the first prefix that a text begins with; None if there is none."""
        return next((match for prefix in self._prefixes if (match := prefix.match(text))), None)

    def step(self, text: bytes) -> OpeningStep | None:
        """Opens the first carrier that recognises a text; None if there is none."""
        match = self.prefix_of(text)
        if match:
            return OpeningStep([Content(text[match.end() :], _time_of(match))])
        if not self.reads_json or text.lstrip()[:1] != b"{":
            return None
        value = _object(text)
        if value is None:
            return None
        for unpack in self._unpackers:
            contents = unpack(value)
            if contents:
                return OpeningStep(contents, is_several=True)
        for row, marks in self._keyed:
            if all(mark.matches(value) for mark in marks):
                return OpeningStep([_content(row, value)])
        return None


class Opener:
    """Opens records, level by level from the outside in. A record that a level does not recognise skips that level."""

    def __init__(self, levels: tuple[tuple[Carrier, ...], ...], is_own: Callable[[bytes], bool] | None = None) -> None:
        """Prepares the carriers.

        Args:
            levels: The carriers at each depth.
            is_own: Whether a whole record is in a format of the user, which comes before carriers.
        """
        self._is_own = is_own or (lambda _record: False)
        self._levels = tuple(map(Level, levels[:MAX_DEPTH]))

    def open(self, batch: Batch) -> Opened:
        """Opens the records of a batch. Never raises, whatever the bytes. Oversized records stay as they are."""
        return self._open_any(batch) if any(level.reads_json for level in self._levels) else self._open_lines(batch)

    def _open_lines(self, batch: Batch) -> Opened:
        """Opens records whose carriers are prefixes: the texts begin later in the same bytes. Twin of `_open_any`."""
        data = batch.buffer.tobytes()
        starts = batch.starts.copy()
        times: list[str | None] = [None] * len(starts)
        is_carried = [False] * len(starts)
        for i, (start, end) in enumerate(zip(starts.tolist(), batch.ends.tolist(), strict=True)):
            if i in batch.oversized:
                continue
            text, place = data[start:end], 0
            if self._is_own(text):
                continue
            for level in self._levels:
                match = level.prefix_of(text[place:] if place else text)
                if match:
                    place += match.end()
                    times[i] = _time_of(match) or times[i]
                    is_carried[i] = True
            starts[i] += place
        return Opened(batch._replace(starts=starts), batch, times, is_carried, [False] * len(starts))

    def _open_any(self, batch: Batch) -> Opened:
        """Opens records of any carriers."""
        found: list[tuple[Carried, int, int]] = []
        data = batch.buffer.tobytes()
        spans = zip(batch.starts.tolist(), batch.ends.tolist(), batch.offsets.tolist(), strict=True)
        for i, (start, end, offset) in enumerate(spans):
            text = data[start:end]
            if i in batch.oversized:
                found.append((Carried(text, text, None, False, False), offset, batch.oversized[i]))
            else:
                found += [(carried, offset, 0) for carried in self.carried(text)]
        return Opened(
            as_batch([Element(held.text, offset, max(length, len(held.text))) for held, offset, length in found]),
            as_batch([Element(held.raw, offset, max(length, len(held.raw))) for held, offset, length in found]),
            [held.time for held, _, _ in found],
            [held.is_carried for held, _, _ in found],
            [held.is_empty for held, _, _ in found],
        )

    def carried(self, record: bytes) -> list[Carried]:
        """Returns what a record carries; the record itself if none of the carriers recognises it."""
        whole = Carried(record, record, None, is_carried=False, is_empty=False)
        if self._is_own(record):
            return [whole]
        try:
            return self._unwrapped(whole, 0, [MAX_INFLATED])
        except (TooMuchError, RecursionError):
            return [whole]

    def _unwrapped(self, outer: Carried, depth: int, bytes_left: list[int]) -> list[Carried]:
        """Returns what is carried at any depth."""
        if depth == len(self._levels):
            return [outer]
        step = self._levels[depth].step(outer.text)
        if step is None:
            return self._unwrapped(outer, depth + 1, bytes_left)
        found: list[Carried] = []
        for content in step.contents:
            text = inflated(content.text or b"", bytes_left)
            raw = text if step.is_several else outer.raw
            inner = Carried(text, raw, content.time or outer.time, is_carried=True, is_empty=content.text is None)
            found += self._unwrapped(inner, depth + 1, bytes_left)
        return found


def _time_of(prefix: re.Match[bytes]) -> str | None:
    """Returns the time that a prefix says."""
    time = prefix.groupdict().get("time")
    return time.decode("latin-1") if time else None


def _object(text: bytes) -> dict[str, Any] | None:
    """Parses a JSON object, exactly; None for other texts."""
    try:
        value = json_codec.parse(text) if text.isascii() else json_codec.parse_exactly(text)
    except json_codec.JsonError:
        return None
    return value if isinstance(value, dict) else None


def _content(row: Carrier, value: dict[str, Any]) -> Content:
    """Returns what a JSON record carries."""
    held = next((found for path in row.carried if (found := value_at(value, path)) is not None), None)
    time = next((found for path in row.times if (found := json_codec.scalar(value_at(value, path)))), None)
    return Content(row.decode(held), time)


def inflated(packed: bytes, bytes_left: list[int]) -> bytes:
    """Decompresses gzip bytes within a limit, which is reduced; returns other and damaged bytes unchanged."""
    if not packed.startswith(_GZIP):
        return packed
    inflater = zlib.decompressobj(wbits=31)
    try:
        content = inflater.decompress(packed, bytes_left[0] + 1)
    except zlib.error:
        return packed
    bytes_left[0] -= len(content)
    if bytes_left[0] < 0:
        raise TooMuchError
    return content
