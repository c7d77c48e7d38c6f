"""Opens carriers: takes batches of records, and returns batches of what they carry.

A carried record keeps the offset of the outermost record. Its raw text is the outermost record, too (rules 10.3). What
is encoded in it stands there as text, so that personal values in it can be found and replaced.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from etl.columnar import json_codec
from etl.sources.carriers.carrier import Carrier, Content, as_bytes
from etl.sources.readers.json_matching import Mark, mark_of, value_at
from etl.sources.record import Record
from etl.sources.records.lines import Batch, Element, as_batch

#: Carriers within carriers are opened to this depth.
MAX_DEPTH: Final = 4

#: The messages of one record may decompress to this many bytes; a record that exceeds it is not opened.
MAX_INFLATED: Final = 32 * 1024 * 1024

_EMPTY: Final = Record("malformed_record", "Its carrier holds no text")

#: Of several records in a longer one, each has its own text as its raw text.
_SHARED_BYTES: Final = 1024 * 1024

_GZIP: Final = b"\x1f\x8b"


class Carried(NamedTuple):
    """A text that carriers may hold.

    Attributes:
        text: The text.
        raw: The raw record around it.
        time: The innermost carrier's time.
        is_carried: Whether a carrier held it.
        fault: What the record is instead, if its carrier holds no text or is no record itself.
    """

    text: bytes
    raw: bytes
    time: str | None = None
    is_carried: bool = False
    fault: Record | None = None


class Opened(NamedTuple):
    """A batch of records after their carriers were opened.

    Attributes:
        records: What is read by a format.
        raws: The raw record of each record.
        times: For each record, the carrier's time as it is written; None if there is none.
        is_carried: For each record, whether a carrier held it.
        faults: Index -> what a record is whose carrier holds no text or is no record itself.
    """

    records: Batch
    raws: Batch
    times: list[str | None]
    is_carried: list[bool]
    faults: dict[int, Record]


class OpeningStep(NamedTuple):
    """What one carrier holds.

    Attributes:
        contents: The texts.
        value: The carrier's record as parsed JSON, if it is in JSON.
        fault: What the carrier's record is instead, such as the header of a table.
    """

    contents: list[Content]
    value: Any = None
    fault: Record | None = None


class TooMuchError(ValueError):
    """The messages of a record decompress to more than MAX_INFLATED bytes."""


class Level:
    """Carriers at one depth; a record is opened by the first that recognises it."""

    def __init__(self, rows: tuple[Carrier, ...]) -> None:
        self._prefixes = [re.compile(row.prefix, re.DOTALL) for row in rows if row.prefix]
        self._openers = [row.open for row in rows if row.open]
        self._unpackers = [row.unpack for row in rows if row.unpack]
        self._keyed: list[tuple[Carrier, tuple[Mark, ...]]] = [
            (row, tuple(map(mark_of, row.marks))) for row in rows if row.marks
        ]
        self._reads_json = bool(self._unpackers or self._keyed)
        self.is_prefix = not self._reads_json and not self._openers

    def prefix_of(self, text: bytes) -> re.Match[bytes] | None:
        """Returns the match of the first prefix that a text begins with; None if there is none."""
        return next((match for prefix in self._prefixes if (match := prefix.match(text))), None)

    def may_hold(self, keys: tuple[str, ...]) -> bool:
        """Whether an object with these top-level keys may be a record of one of the carriers."""
        is_read = bool(self._prefixes or self._openers or self._unpackers)
        return is_read or any(all(mark.may_match(keys) for mark in marks) for _, marks in self._keyed)

    def step(self, text: bytes) -> OpeningStep | None:  # noqa: PLR0911  one way out a kind of carrier
        """Opens the first carrier that recognises a text; None if there is none."""
        match = self.prefix_of(text)
        if match:
            return OpeningStep([Content(text[match.end() :], _time_of(match))])
        opened = next((content for opener in self._openers if (content := opener(text))), None)
        if opened:
            return OpeningStep([opened])
        if not self._reads_json or text.lstrip()[:1] != b"{":
            return None
        value = json_object(text)
        if value is None:
            return None
        for unpack in self._unpackers:
            contents = unpack(value)
            if contents:
                return OpeningStep(contents, value)
        for row, marks in self._keyed:
            if all(mark.matches(value) for mark in marks):
                return OpeningStep([_content(row, value)], value)
        return None


class Opener:
    """Opens records, level by level from the outside in. A record that a level does not recognise skips that level."""

    def __init__(
        self,
        levels: tuple[tuple[Carrier, ...], ...],
        is_own: Callable[[bytes], bool] | None = None,
        first: Level | None = None,
    ) -> None:
        """Prepares the carriers.

        Args:
            levels: The carriers at each depth.
            is_own: Whether a whole record is in a format of the user, which comes before carriers.
            first: A level before them, such as the cells of a table.
        """
        self._is_own = is_own or (lambda _record: False)
        self._levels = (*((first,) if first else ()), *map(Level, levels))[:MAX_DEPTH]

    def open(self, batch: Batch) -> Opened:
        """Opens the records of a batch. Never raises, whatever the bytes. Oversized records stay as they are."""
        return self._open_lines(batch) if all(level.is_prefix for level in self._levels) else self._open_any(batch)

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
        return Opened(batch._replace(starts=starts), batch, times, is_carried, {})

    def _open_any(self, batch: Batch) -> Opened:
        """Opens records of any carriers."""
        found: list[Carried] = []
        offsets: list[int] = []
        lengths: list[int] = []
        data = batch.buffer.tobytes()
        spans = zip(batch.starts.tolist(), batch.ends.tolist(), batch.offsets.tolist(), strict=True)
        for i, (start, end, offset) in enumerate(spans):
            text = data[start:end]
            held = [_whole(text)] if i in batch.oversized else self.carried(text)
            found += held
            offsets += [offset] * len(held)
            lengths += [batch.oversized.get(i, 0)] * len(held)
        texts = [held.text for held in found]
        lengths = [max(length, len(text)) for text, length in zip(texts, lengths, strict=True)]
        records = as_batch(list(map(Element, texts, offsets, lengths)))
        return Opened(
            records,
            _raws(found, records),
            [held.time for held in found],
            [held.is_carried for held in found],
            {i: held.fault for i, held in enumerate(found) if held.fault},
        )

    def carried(self, record: bytes) -> list[Carried]:
        """Returns what a record carries; the record itself if none of the carriers recognises it."""
        whole = _whole(record)
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
        texts = [inflated(content.text or b"", bytes_left) for content in step.contents]
        raw = _raw(outer, step, texts)
        is_shared = len(texts) == 1 or len(raw) <= _SHARED_BYTES
        found: list[Carried] = []
        for content, text in zip(step.contents, texts, strict=True):
            fault = step.fault or (_EMPTY if content.text is None else None)
            inner = Carried(text, raw if is_shared else text, content.time or outer.time, step.fault is None, fault)
            found += [inner] if fault else self._unwrapped(inner, depth + 1, bytes_left)
        return found


def _whole(record: bytes) -> Carried:
    """Returns a record that no carrier holds."""
    return Carried(record, record)


def _raw(outer: Carried, step: OpeningStep, texts: list[bytes]) -> bytes:
    """Returns the raw record around the texts that a carrier holds; encoded texts stand in it as text."""
    plain = {id(held.encoded): text for held, text in zip(step.contents, texts, strict=True) if held.encoded}
    if not plain:
        return outer.raw
    written = as_bytes(json_codec.compact(_decoded(step.value, plain)))
    return outer.raw.removesuffix(outer.text) + written if outer.raw.endswith(outer.text) else written


def _decoded(value: Any, texts: dict[int, bytes]) -> Any:
    """Returns a JSON value with the texts that some of its parts encode, by the identity of the part."""
    if id(value) in texts:
        return texts[id(value)].decode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {name: _decoded(inner, texts) for name, inner in value.items()}
    return [_decoded(inner, texts) for inner in value] if isinstance(value, list) else value


def _raws(found: list[Carried], records: Batch) -> Batch:
    """Returns the raw records of carried records; those that one record carries share its bytes."""
    is_first = np.array([i == 0 or held.raw is not found[i - 1].raw for i, held in enumerate(found)], bool)
    raws = [found[i].raw for i in np.flatnonzero(is_first).tolist()]
    batch = as_batch([Element(raw, 0, len(raw)) for raw in raws])
    numbers = np.cumsum(is_first) - 1
    return records._replace(buffer=batch.buffer, starts=batch.starts[numbers], ends=batch.ends[numbers])


def _time_of(prefix: re.Match[bytes]) -> str | None:
    """Returns the time that a prefix says."""
    time = prefix.groupdict().get("time")
    return time.decode("latin-1") if time else None


@lru_cache(maxsize=4)
def json_object(text: bytes) -> dict[str, Any] | None:
    """Parses a JSON object, exactly; None for other texts. Several levels ask for the same."""
    try:
        value = json_codec.parse(text) if text.isascii() else json_codec.parse_exactly(text)
    except json_codec.JsonError:
        return None
    return value if isinstance(value, dict) else None


def _content(row: Carrier, value: dict[str, Any]) -> Content:
    """Returns what a JSON record carries."""
    held = next((found for path in row.carried if (found := value_at(value, path)) is not None), None)
    time = next((found for path in row.times if (found := json_codec.scalar(value_at(value, path)))), None)
    return Content(row.decode(held), time, held if isinstance(held, list) else None)


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
