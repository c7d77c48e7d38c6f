"""Calls a function in threads that never keep the process alive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


def map_in_threads(function: Callable[[Item], Found], items: Sequence[Item], count: int) -> list[Found]:
    """Returns the result of a function for each item, in their order; the first error ends the work at once.

    A signal ends it at once, too: threads that still wait for the system end with the process.

    Args:
        function: The function.
        items: Its arguments.
        count: Most calls at a time. One call at a time needs no thread.
    """
    if count <= 1 or len(items) <= 1:
        return [function(item) for item in items]
    waiting = iter(list(enumerate(items)))
    taking, stopped = threading.Lock(), threading.Event()
    ended: SimpleQueue[tuple[int, Found | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        while not stopped.is_set():
            with taking:
                number, item = next(waiting, (-1, items[0]))
            if number < 0:
                return
            try:
                ended.put((number, function(item), None))
            except BaseException as error:
                ended.put((number, None, error))

    results: dict[int, Found] = {}
    try:
        for _ in range(min(count, len(items))):
            threading.Thread(target=work, daemon=True).start()
        for _ in items:
            number, found, error = ended.get()
            if error is not None:
                raise error
            results[number] = found  # type: ignore[assignment]
    finally:
        stopped.set()
    return [results[number] for number in range(len(items))]
