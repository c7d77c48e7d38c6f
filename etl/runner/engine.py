"""The protocol of engines, which run the tasks of a run. `runner` imports no particular engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Result = TypeVar("Result")

#: Receives the progress of a task: input bytes as stored (still compressed), and records.
Meter = Callable[[int, int], None]


class TaskContext(NamedTuple):
    """What an engine passes to each task.

    Attributes:
        meter: Receives the progress of the task.
        find_repeats: Takes the hashes of keys. Returns for each hash whether it came before: earlier in the same call,
            or in an earlier call by any task of the same `Engine.map`.
    """

    meter: Meter
    find_repeats: Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.bool_]]


class Engine(Protocol):
    """Runs tasks. A task is a function of this package with plain data as arguments, so both can be pickled."""

    def map(self, function: Callable[..., Result], tasks: list[tuple[Any, ...]]) -> Iterator[Result]:
        """Calls `function(context, *task)` for each task.

        Args:
            function: Takes a `TaskContext`, then the arguments of a task.
            tasks: The arguments of each call.

        Returns:
            The result of each task, in the order of the tasks.

        Raises:
            EtlError: A task failed; the remaining tasks are stopped.
        """
        ...


#: Starts an engine, given the number of processes and the meter of its tasks. Leaving the context stops the engine.
OpenEngine = Callable[[int, Meter], AbstractContextManager[Engine]]
