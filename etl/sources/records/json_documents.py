"""Cuts a byte stream of JSON into records, in bounded memory: elements of an array, or objects one after another.

The scanner looks only at brackets, commas, quotes and backslashes, with numpy over a whole block. The text between two
boundaries is a record. Whether the text is valid JSON is decided later, by the parser.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np

from etl.columnar.string_buffers import Bytes, Positions
from etl.sources.records.lines import BATCH_BYTES, KEPT_BYTES, MOST_RECORDS, Element

#: Byte -> kind: 1 opens a bracket, -1 closes a bracket, 2 is a comma, 0 is any other byte.
_KIND: Final = np.zeros(256, np.int8)
_KIND[list(b"{[")] = 1
_KIND[list(b"}]")] = -1
_KIND[list(b",")] = 2


_BLANKS: Final = b" \t\r\n\x1e"
_BOM: Final = b"\xef\xbb\xbf"
#: The scanner takes so many bytes at a time, each of which may be an element of its own.
_FED_BYTES: Final = 2**18

#: Keys longer than this cannot be part of a container's path.
_KEY_BYTES: Final = 512


def may_hold(sample: bytes, container: tuple[str, ...]) -> bool:
    """Whether all keys of a container stand in a sample, so that it is worth looking for the container."""
    return all(f'"{key}"'.encode() in sample for key in container)


def read_documents(stream: BinaryIO, max_record_bytes: int, container: tuple[str, ...] = ()) -> Iterator[list[Element]]:
    """Yields the elements of a stream, block by block: the values in a top-level array, or at top level.

    With a container, an object that has the container yields the elements of that array and nothing else.

    A cut-off last element and text outside brackets are elements too. Only blanks and commas are dropped.

    Args:
        stream: Decompressed bytes, from the beginning.
        max_record_bytes: Only the beginning of longer elements is kept.
        container: The keys that lead from an object to the array of records.
    """
    scanner = _ContainerScanner(max_record_bytes, container) if container else _Scanner(max_record_bytes)
    while block := stream.read(BATCH_BYTES):
        elements: list[Element] = []
        for begin in range(0, len(block), _FED_BYTES):
            elements += scanner.feed(block[begin : begin + _FED_BYTES])
            if len(elements) >= MOST_RECORDS:
                yield elements
                elements = []
        yield elements
    yield scanner.finish()


class _Scanner:
    """Finds the boundaries of elements in consecutive blocks.

    `depth`, `in_string` and `is_escaped` are the JSON state at the end of the last block. `pending` holds the beginning
    of an element that is not complete; `is_array` says whether a top-level array is open.
    """

    def __init__(self, max_record_bytes: int) -> None:
        self.limit = max_record_bytes
        self.offset = 0
        self.depth = 0
        self.is_array = False
        self.in_string = False
        self.is_escaped = False
        self.pending = bytearray()
        self.pending_offset = 0
        self.pending_length = 0

    def feed(self, block: bytes) -> list[Element]:
        """Returns the elements that end in the next block."""
        block = self._without_mark(block)
        buffer = np.frombuffer(block, np.uint8)
        places, depths = self._structure(buffer)
        kinds = _KIND[buffer[places]]
        is_boundary = np.where(kinds == 1, depths == 1, depths <= 1)
        elements: list[Element] = []
        begin = 0
        for place, depth in zip(places[is_boundary].tolist(), depths[is_boundary].tolist(), strict=True):
            char = block[place : place + 1]
            if char in b"[{":
                self.is_array = char == b"[" and not self.pending and not block[begin:place].strip(_BLANKS)
                begin = place + 1 if self.is_array else begin
            elif char == b"}" and depth == 0 and not self.is_array:
                elements += self._take(block, begin, place + 1)
                begin = place + 1
            elif (char == b"," and depth == int(self.is_array)) or (char == b"]" and depth == 0):
                elements += self._take(block, begin, place)
                begin = place + 1
                self.is_array &= char == b","
        self._keep(block, begin, len(block))
        self.offset += len(block)
        return elements

    def finish(self) -> list[Element]:
        """Returns the element that the end of the stream cut off, if there is one."""
        return self._take(b"", 0, 0)

    def _without_mark(self, block: bytes) -> bytes:
        """Removes the byte order mark from the first block; offsets still count its bytes."""
        if self.offset or not block.startswith(_BOM):
            return block
        self.offset = len(_BOM)
        return block[len(_BOM) :]

    def _structure(self, buffer: Bytes) -> tuple[Positions, Positions]:
        """Returns the places of brackets and commas outside strings, and the depth after each place."""
        quotes = self._quotes(buffer)
        places = np.flatnonzero(_KIND[buffer])
        before = np.searchsorted(quotes, places) + self.in_string
        places = places[before % 2 == 0]
        self.in_string = bool((len(quotes) + self.in_string) % 2)
        steps = _KIND[buffer[places]].astype(np.int64)
        steps[steps == 2] = 0
        depths = self.depth + np.cumsum(steps)
        if len(depths) and depths.min() < 0:
            depths = _without_surplus(steps, self.depth)
        self.depth = int(depths[-1]) if len(depths) else self.depth
        return places, depths

    def _quotes(self, buffer: Bytes) -> Positions:
        """Returns the places of quotes that are not escaped by a backslash."""
        quotes = np.flatnonzero(buffer == ord('"'))
        slashes = np.flatnonzero(buffer == ord("\\"))
        carried, self.is_escaped = self.is_escaped, False
        if not len(slashes):
            return quotes[1:] if carried and len(quotes) and quotes[0] == 0 else quotes
        run_starts = slashes[np.append(True, np.diff(slashes) > 1)]
        run_ends = slashes[np.append(np.diff(slashes) > 1, True)] + 1
        lengths = run_ends - run_starts
        lengths[0] += carried and run_starts[0] == 0
        escaped = run_ends[lengths % 2 == 1]
        self.is_escaped = bool(len(escaped) and escaped[-1] == len(buffer))
        if carried and run_starts[0] != 0:
            escaped = np.append(0, escaped)
        return quotes[~np.isin(quotes, escaped)]

    def _keep(self, block: bytes, begin: int, end: int) -> None:
        """Appends a part of the block to the pending element, without leading blanks and up to the size limit."""
        text = block[begin:end]
        if not self.pending:
            text = text.lstrip(_BLANKS)
            self.pending_offset = self.offset + end - len(text)
        self.pending_length += len(text)
        room = len(text) if self.pending_length <= self.limit else max(0, KEPT_BYTES - len(self.pending))
        self.pending += text[:room]

    def _take(self, block: bytes, begin: int, end: int) -> list[Element]:
        """Completes the pending element with a part of the block, and returns it; none if it is blank."""
        self._keep(block, begin, end)
        text, length = bytes(self.pending).rstrip(_BLANKS), self.pending_length
        self.pending, self.pending_length = bytearray(), 0
        is_whole = length <= self.limit
        element = Element(
            text if is_whole else text[:KEPT_BYTES], self.pending_offset, len(text) if is_whole else length
        )
        return [element] if text else []


class _ContainerScanner(_Scanner):
    """A scanner that follows the container's keys and returns the elements of the container.

    `base` is the depth at which top-level objects stand: 1 in an array, else 0. `matched` is the number of container
    keys whose objects are open. `inside` is the depth within the container while it is open, else 0. `is_found` says
    that the current object has the container, so the rest of the object is skipped. `label` is the text before the
    current bracket, which may end with a key.
    """

    def __init__(self, max_record_bytes: int, container: tuple[str, ...]) -> None:
        super().__init__(max_record_bytes)
        self.container = container
        self.base = 0
        self.matched = 0
        self.inside = 0
        self.is_found = False
        self.label = b""

    def feed(self, block: bytes) -> list[Element]:
        """Returns the elements that end in the next block."""
        block = self._without_mark(block)
        buffer = np.frombuffer(block, np.uint8)
        places, depths = self._structure(buffer)
        is_shallow = depths <= len(self.container) + 2
        elements: list[Element] = []
        begin = label = 0
        for place, depth in zip(places[is_shallow].tolist(), depths[is_shallow].tolist(), strict=True):
            char = block[place : place + 1]
            if self.inside:
                found, begin = self._step_inside(block, begin, place, depth, char)
            elif char in b"[{":
                self.label += block[max(label, place - _KEY_BYTES) : place]
                found, begin = [], self._open(block, begin, place, depth, char)
            else:
                found, begin = self._step_outside(block, begin, place, depth, char)
            elements += found
            label, self.label = place + 1, b""
        if self.inside or not self.is_found:
            self._keep(block, begin, len(block))
        self.label = (self.label + block[label:][-_KEY_BYTES:])[-_KEY_BYTES:]
        self.offset += len(block)
        return elements

    def _step_inside(self, block: bytes, begin: int, place: int, depth: int, char: bytes) -> tuple[list[Element], int]:
        """Handles a boundary within the container. Returns complete elements and the next element's begin."""
        is_end = char in b"]}" and depth < self.inside
        if not is_end and not (char == b"," and depth == self.inside):
            return [], begin
        self.inside = 0 if is_end else self.inside
        return self._take(block, begin, place), place + 1

    def _open(self, block: bytes, begin: int, place: int, depth: int, char: bytes) -> int:
        """Handles an opening bracket outside the container, and returns where the next element begins."""
        if depth == 1 and char == b"[" and not self.pending and not block[begin:place].strip(_BLANKS):
            self.is_array, self.base = True, 1
            return place + 1
        if depth == self.base + 1:
            self.matched = 0
        elif depth == self.base + self.matched + 2 and self._is_key(self.container[self.matched]):
            is_last = self.matched == len(self.container) - 1
            if is_last and char == b"[":
                self.is_found, self.inside = True, depth
                self._drop()
                return place + 1
            self.matched += not is_last and char == b"{"
        return begin

    def _step_outside(self, block: bytes, begin: int, place: int, depth: int, char: bytes) -> tuple[list[Element], int]:
        """Handles a comma or closing bracket outside the container. Returns complete elements and the next begin."""
        is_closed = char in b"}]" and depth == self.base and not self.matched
        if char in b"}]" and depth == self.base + self.matched and self.matched:
            self.matched -= 1
        elif is_closed and self.is_found:
            self.is_found = False
            return [], place + 1
        elif is_closed and char == b"}" and not self.is_array:
            return self._take(block, begin, place + 1), place + 1
        elif (char == b"," and depth == int(self.is_array)) or (char == b"]" and depth == 0):
            self.is_found = False
            self.is_array &= char == b","
            self.base = int(self.is_array)
            return self._take(block, begin, place), place + 1
        return [], begin

    def _is_key(self, key: str) -> bool:
        """Whether the text before the current bracket is this key and a colon."""
        text = self.label.rstrip(_BLANKS)
        start = text.find(b'"')
        try:
            return text.endswith(b":") and start >= 0 and json.loads(text[start:-1]) == key
        except ValueError:
            return False

    def _drop(self) -> None:
        """Discards the pending element."""
        self.pending, self.pending_length = bytearray(), 0


def _without_surplus(steps: Positions, depth: int) -> Positions:
    """Returns the depth after each step, ignoring closing brackets without an opening bracket."""
    depths = np.empty_like(steps)
    for i, step in enumerate(steps.tolist()):
        depth = max(0, depth + step)
        depths[i] = depth
    return depths
