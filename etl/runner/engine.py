"""The protocol of engines, which run the tasks of a run. `runner` imports no particular engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from etl.rules.ruleset import Ruleset
from etl.runner.pieces import Piece
from etl.sources.storage.store_paths import Folder

Result = TypeVar("Result")

#: Receives the progress of a task: input bytes as stored (still compressed), and records.
Meter = Callable[[int, int], None]


class TaskContext(NamedTuple):
    """What an engine passes to each task.

    Attributes:
        meter: Receives the progress of the task.
        find_repeats: Takes the hashes of keys. Returns for each hash whether it came before: earlier in the same call,
            or in an earlier call by any task of the same `Engine.map`. Only for engines that know repeats. All tasks of
            a call of `map` must use it, or none: each may wait for those before it.
        is_remote: Whether another machine may run the task: it sees shared storage alone, and its result travels.
    """

    meter: Meter
    find_repeats: Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.bool_]]
    is_remote: bool = False


class Settled(NamedTuple):
    """Staged pieces whose duplicates are known.

    Attributes:
        pieces: The pieces. Beside those with duplicates the table `duplicates` is staged.
        missed: The duplicates whose raw records are still to be read: by task number, the numbers of the pieces beside
            which the table `missed` is staged.
    """

    pieces: list[Piece]
    missed: dict[int, list[int]]


class Engine(Protocol):
    """Runs tasks. A task is a function of this package with plain data as arguments, so both can be pickled.

    A task may run twice, even at once. What it writes has a name that its data determines, appears whole or not at all,
    and is the same each time.

    Attributes:
        knows_repeats: Whether a task can ask which keys came before. If so, conversions that probably repeat an earlier
            one are held back with their raw records; else those are read again once the duplicates are known.
        bundle_bytes: Splits are handed over in bundles of about so many bytes, as a task costs time itself. 0: each
            task alone.
    """

    @property
    def knows_repeats(self) -> bool:
        """See above."""
        ...

    @property
    def bundle_bytes(self) -> int:
        """See above."""
        ...

    def map(
        self, function: Callable[..., Result], tasks: list[tuple[Any, ...]], threads: int | None = None
    ) -> Iterator[Result]:
        """Calls `function(context, *task)` for each task.

        Args:
            function: Takes a `TaskContext`, then the arguments of a task.
            tasks: The arguments of each call.
            threads: For tasks that wait more than they compute: an engine on this machine calls them in so many
                threads of this process.

        Returns:
            The result of each task, in the order of the tasks.

        Raises:
            EtlError: A task failed; the remaining tasks are stopped.
        """
        ...

    def settle(self, pieces: list[Piece], stage: Folder, ruleset: Ruleset) -> Settled:
        """Finds the duplicates among the staged keys of all pieces, and stages them beside their pieces.

        Args:
            pieces: The staged pieces of a run, in order.
            stage: The staging folder.
            ruleset: Gives the window of deduplication.
        """
        ...


#: Starts an engine, given the number of processes and the meter of its tasks. Leaving the context stops the engine.
OpenEngine = Callable[[int, Meter], AbstractContextManager[Engine]]
