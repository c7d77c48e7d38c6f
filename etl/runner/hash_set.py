"""A set of 64-bit hashes, which finds conversions that probably repeat an earlier conversion.

Memory and time a key are in `bench/README.md`.
"""

from __future__ import annotations

import mmap
from typing import Final

import numpy as np
import numpy.typing as npt

from etl.columnar import byte_loops

_INITIAL_SLOTS: Final = 2**16

#: A slot of 0 is free. The lowest bit of every hash is set, so that no hash is 0.
_LOWEST_BIT: Final = np.uint64(1)


class HashSet:
    """Hashes in a table of slots, of which at most three in four are taken: 11 to 16 bytes a hash.

    May report false positives, never false negatives.
    """

    def __init__(self) -> None:
        self._slots = _free_slots(_INITIAL_SLOTS)
        self._count = 0

    def add(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Adds hashes, and returns for each hash whether an earlier call or an earlier place in this call had it."""
        while 4 * (self._count + len(hashes)) > 3 * len(self._slots):
            parts = [
                self._slots[start : start + _INITIAL_SLOTS] for start in range(0, len(self._slots), _INITIAL_SLOTS)
            ]
            self._slots = _free_slots(len(self._slots) * 3 // 2)
            self._count = sum(self._insert(part[part != 0])[0] for part in parts)
        count, repeated = self._insert(hashes | _LOWEST_BIT)
        self._count += count
        return repeated

    def _insert(self, hashes: npt.NDArray[np.uint64]) -> tuple[int, npt.NDArray[np.bool_]]:
        """Puts hashes other than 0 into the slots; returns how many were new, and for each whether it was present."""
        repeated = np.empty(len(hashes), np.uint8)
        return byte_loops.add_hashes(hashes, self._slots, repeated), repeated.view(np.bool_)


def _free_slots(count: int) -> npt.NDArray[np.uint64]:
    """Returns free slots in memory mapped for them alone, which the system gets back as soon as they are dropped."""
    return np.frombuffer(mmap.mmap(-1, 8 * count), np.uint64)
