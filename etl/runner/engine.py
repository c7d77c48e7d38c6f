"""The engine of a run: the protocol by which a run has its tasks done. A run knows no engine by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Result = TypeVar("Result")

#: Takes the progress of a task: bytes of the input as stored, and records.
Meter = Callable[[int, int], None]


class TaskContext(NamedTuple):
    """What an engine gives to each task.

    Attributes:
        meter: Takes the task's progress.
        repeats: Takes hashes of keys. Says of each whether any task of this call to `map` has named it before.
    """

    meter: Meter
    repeats: Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.bool_]]


class Engine(Protocol):
    """Where tasks run. A task is a function of this package and plain data, so that both can be pickled."""

    def map(self, function: Callable[..., Result], tasks: list[tuple[Any, ...]]) -> Iterator[Result]:
        """Calls `function(context, *task)` for each task.

        Args:
            function: Takes a `TaskContext`, then the task's own arguments.
            tasks: The arguments of each call.

        Returns:
            The result of each task, in the order of the tasks.

        Raises:
            EtlError: A task failed; the other tasks are stopped.
        """
        ...


#: Starts an engine: how many processes it may use, and the meter of all its tasks. Leaving the context stops it.
OpenEngine = Callable[[int, Meter], AbstractContextManager[Engine]]
