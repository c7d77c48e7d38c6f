"""Limits the time that a user's own patterns take: a pattern can take exponential time, even on one line.

Patterns of this package need no limit. The limit counts the processor time of the thread, so that a busy machine
changes nothing. It needs the main thread, because Python handles signals there; elsewhere there is no limit.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from etl.errors import FormatError

#: Seconds of processor time that a batch may take, and how many more for each byte of it: ten times what is usual.
_SECONDS: Final = 5.0
_SECONDS_A_BYTE: Final = 2e-6
_TICK_SECONDS: Final = 0.5


@contextmanager
def limited(label: str, size: int, *, has_own: bool) -> Iterator[None]:
    """Limits the processor time of the code in the context.

    Args:
        label: The input's name in messages.
        size: How many bytes are read.
        has_own: Whether patterns of the user read them; without any, there is no limit.

    Raises:
        FormatError: It took too long.
    """
    if not has_own or threading.current_thread() is not threading.main_thread():
        yield
        return
    most = _SECONDS + _SECONDS_A_BYTE * size
    began = time.thread_time()

    def check(_number: int, _frame: object) -> None:
        if time.thread_time() - began > most:
            raise FormatError(
                f"{label}: a pattern of --log-format or --formats took more than {most:.0f} s of processor time for "
                f"at most {size:,} bytes.",
                "Make the pattern simpler: no two parts of it, one behind the other, may match the same text.",
            )

    handler = signal.signal(signal.SIGVTALRM, check)
    signal.setitimer(signal.ITIMER_VIRTUAL, _TICK_SECONDS, _TICK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
