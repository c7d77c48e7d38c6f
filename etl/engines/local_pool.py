"""Runs tasks on this machine: in this process for one job, in this process and worker processes for several.

Each process takes the next task as soon as it has finished one. Workers run polars with one thread each, so that its
threads and the processes do not compete. Workers ask the parent process which keys it has already seen, one request at
a time and in the order of the tasks: then only what repeats an earlier key is held back. A worker ends when its parent
process ends. What was measured is in `bench/README.md`.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from etl.engines.local_settling import settle_here
from etl.errors import EtlError
from etl.rules.ruleset import Ruleset
from etl.runner.engine import Engine, Meter, Result, Settled, TaskContext
from etl.runner.hash_set import HashSet
from etl.runner.pieces import Piece
from etl.runner.threads import map_in_threads
from etl.sources.storage.store_paths import Folder

_POLL_SECONDS: Final = 0.2
_TURN_SECONDS: Final = 0.001

#: Environment of the workers: polars reads the number of its threads from it.
_POLARS_THREADS: Final = {"POLARS_MAX_THREADS": "1"}

#: Options of glibc's `mallopt`: name -> number and value. Freed blocks up to 1 GiB stay with the process.
_ALLOCATION: Final = {"M_TRIM_THRESHOLD": (-1, 2**30), "M_MMAP_THRESHOLD": (-3, 2**30)}

#: Allocations between two garbage collections. Batches make many small objects and no cycles; Python's default costs
#: 5 % of the time (see bench/README.md).
_GARBAGE_THRESHOLD: Final = 1_000_000

_context: TaskContext
_next_task: Any
_turn: Any


class Inline:
    """An engine that runs tasks in this process, one after another."""

    knows_repeats = True
    bundle_bytes = 0

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def map(
        self, function: Callable[..., Result], tasks: list[tuple[Any, ...]], threads: int | None = None
    ) -> Iterator[Result]:
        """Yields the result of each task, in the order of the tasks; see `Engine.map`."""
        context = TaskContext(self._meter, HashSet().add)
        if threads is not None:
            yield from map_in_threads(lambda task: function(context, *task), tasks, threads)
            return
        for task in tasks:
            yield function(context, *task)

    def settle(self, pieces: list[Piece], stage: Folder, ruleset: Ruleset) -> Settled:
        """Finds the duplicates and stages them; see `Engine.settle`."""
        return settle_here(self, pieces, stage, ruleset)


class Pool(Inline):
    """An engine that runs tasks in this process and in worker processes; each takes the next free task."""

    def __init__(self, meter: Meter, jobs: int) -> None:
        super().__init__(meter)
        self._worker_count = jobs - 1
        spawning = multiprocessing.get_context("spawn")
        self._counts: Any = spawning.Array("q", 2)
        self._reported = (0, 0)
        self._next_task: Any = spawning.Value("q", 0)
        self._turn: Any = spawning.Value("q", 0)
        self._hashes = HashSet()
        self._hash_lock = threading.Lock()
        parent_end, self._worker_end = spawning.Pipe()
        threading.Thread(target=self._serve_hash_requests, args=(parent_end,), daemon=True).start()
        shared = (self._counts, self._next_task, self._turn, self._worker_end, spawning.Lock())
        with _environment(**_POLARS_THREADS):
            self._executor = ProcessPoolExecutor(self._worker_count, spawning, _initialize_worker, shared)
            for _ in range(self._worker_count):
                self._executor.submit(os.getpid)  # starts a worker process now, in this environment

    def map(
        self, function: Callable[..., Result], tasks: list[tuple[Any, ...]], threads: int | None = None
    ) -> Iterator[Result]:
        """Returns the result of each task, in the order of the tasks; see `Engine.map`."""
        if threads is not None:
            return super().map(function, tasks, threads)
        self._next_task.value = self._turn.value = 0
        results: dict[int, Result] = {}
        context = TaskContext(self._meter_all, self._find_repeats)
        try:
            futures = [self._executor.submit(_run_tasks, function, tasks) for _ in range(self._worker_count)]
            for number in _claim_tasks(self._next_task, len(tasks)):
                ordered = _in_turn(context, self._turn, number, partial(_raise_failures, futures))
                results[number] = function(ordered, *tasks[number])
                _raise_failures(futures)
            while wait(futures, _POLL_SECONDS, FIRST_EXCEPTION).not_done:
                self._report()
                _raise_failures(futures)
            self._report()
            for future in futures:
                results |= future.result()
        except BrokenProcessPool as error:
            raise EtlError(
                "A worker process was killed, probably because memory ran out.",
                "Run again with --jobs 1, or on a machine with more memory.",
            ) from error
        self._hashes = HashSet()
        _release_memory()
        return (results[number] for number in range(len(tasks)))

    def close(self) -> None:
        """Ends the workers at once, whatever they are doing."""
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        self._worker_end.close()

    def _serve_hash_requests(self, parent_end: Connection) -> None:
        """Answers the workers' requests which hashes the present call of `map` has seen, until the pipe is closed."""
        with suppress(EOFError, OSError):
            while True:
                hashes = np.frombuffer(parent_end.recv_bytes(), np.uint64)
                parent_end.send_bytes(self._find_repeats(hashes).data)

    def _find_repeats(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Adds hashes to the set, and returns which of them it already held."""
        with self._hash_lock:
            return self._hashes.add(hashes)

    def _meter_all(self, size: int, records: int) -> None:
        """Adds the progress of a task in this process, and reports the progress of all processes."""
        _add_progress(self._counts, size, records)
        self._report()

    def _report(self) -> None:
        """Reports the progress of all processes since the last report."""
        size, records = self._counts[0], self._counts[1]
        if (size, records) != self._reported:
            self._meter(size - self._reported[0], records - self._reported[1])
            self._reported = size, records


def tune_memory() -> None:
    """Sets this process up for batch after batch: fewer garbage collections, and freed memory is reused (glibc)."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
    for option in _ALLOCATION.values():
        _call_glibc("mallopt", *option)


def _release_memory() -> None:
    """Returns memory that was kept for the next batch to the system (glibc)."""
    _call_glibc("malloc_trim", 0)


def _call_glibc(name: str, *numbers: int) -> None:
    """Calls a function of the C library, if it has the function."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function:
        function(*numbers)


@contextmanager
def workers(jobs: int, meter: Meter) -> Iterator[Engine]:
    """Opens an engine: this process alone for one job, a pool of processes for more.

    Args:
        jobs: Number of processes, this one included.
        meter: Receives the progress of all tasks.
    """
    if jobs <= 1:
        yield Inline(meter)
        return
    pool = Pool(meter, jobs)
    try:
        yield pool
    finally:
        pool.close()


def _run_tasks(function: Callable[..., Result], tasks: list[tuple[Any, ...]]) -> dict[int, Result]:
    """Runs tasks in a worker until none are left; returns the result of each by the task's number."""
    results = {
        number: function(_in_turn(_context, _turn, number), *tasks[number])
        for number in _claim_tasks(_next_task, len(tasks))
    }
    _release_memory()
    return results


def _claim_tasks(next_task: Any, count: int) -> Iterator[int]:
    """Yields the numbers of tasks that no process has taken, and takes them."""
    while True:
        with next_task.get_lock():
            number = next_task.value
            next_task.value = number + 1
        if number >= count:
            return
        yield number


def _in_turn(context: TaskContext, turn: Any, number: int, check: Callable[[], None] = lambda: None) -> TaskContext:
    """Returns a context for a task, in which it waits with its first keys until all tasks before it have asked.

    Args:
        context: The context of any task.
        turn: The number of the task whose turn it is; all processes share it.
        number: The number of the task.
        check: Called while the task waits. Raises if a process failed, for which the task would wait forever.
    """

    def find_repeats(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        while turn.value < number:
            check()
            time.sleep(_TURN_SECONDS)
        found = context.find_repeats(hashes)
        if turn.value == number:  # its first keys
            turn.value = number + 1
        return found

    return context._replace(find_repeats=find_repeats)


def _raise_failures(futures: list[Future[Any]]) -> None:
    """Raises the exception of a worker that failed."""
    for future in futures:
        if future.done():
            future.result()


def _add_progress(counts: Any, size: int, records: int) -> None:
    """Adds bytes and records to the counters that all processes share."""
    with counts.get_lock():
        counts[0] += size
        counts[1] += records


def _initialize_worker(counts: Any, next_task: Any, turn: Any, worker_end: Connection, lock: Any) -> None:
    """Sets a worker process up: its task context, its memory, its signals, and a thread that watches the parent."""

    def find_repeats(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        with lock:
            worker_end.send_bytes(hashes.data)
            return np.frombuffer(worker_end.recv_bytes(), np.bool_)

    global _context, _next_task, _turn  # a worker process keeps them between tasks
    _context, _next_task, _turn = TaskContext(partial(_add_progress, counts), find_repeats), next_task, turn
    tune_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts the whole group; the parent ends its workers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with_parent, args=(parent.sentinel,), daemon=True).start()


def _end_with_parent(sentinel: int) -> None:
    """Waits until the parent process ends, then ends this process."""
    wait_for([sentinel])
    os._exit(1)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Sets environment variables for the time of a context."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
