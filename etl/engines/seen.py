"""Which hashes of keys came before: what tells a worker which conversions probably repeat an earlier one."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from etl import byte_loops

_SLOTS: Final = 2**16

#: No hash may be 0, which is a free slot.
_ONE: Final = np.uint64(1)


class Seen:
    """Hashes in a table of slots, of which no more than three in four are taken: 11 to 21 bytes a hash.

    It is right about most hashes, and says of none that came before that it did not.
    """

    def __init__(self) -> None:
        self._slots = np.zeros(_SLOTS, np.uint64)
        self._count = 0

    def add(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Whether each of some hashes came before, in an earlier call or earlier in this one."""
        while 4 * (self._count + len(hashes)) > 3 * len(self._slots):
            known = self._slots[self._slots != 0]
            self._slots = np.zeros(2 * len(self._slots), np.uint64)
            self._count = self._filled(known)[0]
        count, repeated = self._filled(hashes | _ONE)
        self._count += count
        return repeated

    def _filled(self, hashes: npt.NDArray[np.uint64]) -> tuple[int, npt.NDArray[np.bool_]]:
        repeated = np.empty(len(hashes), np.uint8)
        return byte_loops.add_hashes(hashes, self._slots, repeated), repeated.view(np.bool_)
