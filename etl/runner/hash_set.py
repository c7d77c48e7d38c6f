"""Which hashes of keys came before: what tells a worker which conversions probably repeat an earlier one."""

from __future__ import annotations

import mmap
from typing import Final

import numpy as np
import numpy.typing as npt

from etl.columnar import byte_loops

_SLOTS: Final = 2**16

#: No hash may be 0, which is a free slot.
_ONE: Final = np.uint64(1)


class Seen:
    """Hashes in a table of slots, of which no more than three in four are taken: 11 to 16 bytes a hash.

    It is right about most hashes, and says of none that came before that it did not.
    """

    def __init__(self) -> None:
        self._slots = _free_slots(_SLOTS)
        self._count = 0

    def add(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Whether each of some hashes came before, in an earlier call or earlier in this one."""
        while 4 * (self._count + len(hashes)) > 3 * len(self._slots):
            parts = [self._slots[start : start + _SLOTS] for start in range(0, len(self._slots), _SLOTS)]
            self._slots = _free_slots(len(self._slots) * 3 // 2)
            self._count = sum(self._filled(part[part != 0])[0] for part in parts)
        count, repeated = self._filled(hashes | _ONE)
        self._count += count
        return repeated

    def _filled(self, hashes: npt.NDArray[np.uint64]) -> tuple[int, npt.NDArray[np.bool_]]:
        repeated = np.empty(len(hashes), np.uint8)
        return byte_loops.add_hashes(hashes, self._slots, repeated), repeated.view(np.bool_)


def _free_slots(count: int) -> npt.NDArray[np.uint64]:
    """Slots in memory of their own, which goes back to the system at once when they are no longer needed."""
    return np.frombuffer(mmap.mmap(-1, 8 * count), np.uint64)
