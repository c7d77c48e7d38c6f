"""How the time of work grows with its input: processor time of one process, compared with itself and no clock."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

#: Work that takes less is never too slow.
_SECONDS = 0.1

#: Four times the input may take so many times the time: linear work takes four times, quadratic work sixteen.
_MOST_TIMES = 8


def growth(work: Callable[[int], Callable[[], object]], *sizes: int) -> str | None:
    """Says how the time grows between a size and four times that size; None if no more than it should.

    Args:
        work: Prepares the work on an input of a size; what it returns is timed.
        sizes: Sizes to try, in ascending order, so that work that explodes is found while it is small.
    """
    for size in sizes:
        large = _seconds(work(4 * size), 1)
        if large <= _SECONDS:
            continue
        small, large = _seconds(work(size), 3), min(large, _seconds(work(4 * size), 2))
        if large > max(_SECONDS, _MOST_TIMES * small):
            return f"{size}: {small:.3f} s, {4 * size}: {large:.3f} s"
    return None


def _seconds(work: Callable[[], object], times: int) -> float:
    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    gc.disable()  # a long process of tests has much garbage that is not this work's
    try:
        return min(once() for _ in range(times))
    finally:
        gc.enable()


def runs(alphabet: list[Any], *, pairs: bool) -> Iterator[Any]:
    """The texts of which long runs are made: each of an alphabet and, if asked, each pair."""
    yield from alphabet
    if pairs:
        yield from (left + right for left in alphabet for right in alphabet if left != right)
