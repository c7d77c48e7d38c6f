"""Work on this machine: in this process alone for little input, beside it in others for much.

All of them take the tasks in turns. Workers run polars on one thread each, so that its threads and ours do not fight.
Which keys came before they ask this process, one of them at a time. A worker whose parent is gone ends.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import threading
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

from etl.errors import EtlError
from etl.runner.engine import Engine, Meter, Result, TaskContext
from etl.runner.hash_set import Seen

_POLL_SECONDS: Final = 0.2

#: Of polars' own threads, in a worker.
_POLARS_THREADS: Final = {"POLARS_MAX_THREADS": "1"}

#: Options of glibc's `mallopt`: what is freed stays with the process, unless it is larger.
_ALLOCATION: Final = {"M_TRIM_THRESHOLD": (-1, 2**30), "M_MMAP_THRESHOLD": (-3, 2**30)}

#: A batch makes many small objects and no cycles: looking for garbage as often as Python does costs a twentieth.
_GARBAGE_THRESHOLD: Final = 1_000_000

_context: TaskContext
_turns: Any


class Inline:
    """Runs tasks one after another in this process."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def map(self, function: Callable[..., Result], tasks: list[tuple[Any, ...]]) -> Iterator[Result]:
        """The function's results, in the order of the tasks; each call is given a context."""
        context = TaskContext(self._meter, Seen().add)
        for task in tasks:
            yield function(context, *task)


class Pool:
    """Runs tasks in this process and in others beside it, each of which takes the next that nobody has taken."""

    def __init__(self, meter: Meter, jobs: int) -> None:
        self._meter = meter
        self._others = jobs - 1
        spawning = multiprocessing.get_context("spawn")
        self._counts: Any = spawning.Array("q", 2)
        self._told = (0, 0)
        self._turns: Any = spawning.Value("q", 0)
        self._seen = Seen()
        self._adding = threading.Lock()
        asked, self._asking = spawning.Pipe()
        threading.Thread(target=self._answer, args=(asked,), daemon=True).start()
        shared = (self._counts, self._turns, self._asking, spawning.Lock())
        with _environment(**_POLARS_THREADS):
            self._executor = ProcessPoolExecutor(self._others, spawning, _start_worker, shared)
            self._warm = [self._executor.submit(os.getpid) for _ in range(self._others)]

    def map(self, function: Callable[..., Result], tasks: list[tuple[Any, ...]]) -> Iterator[Result]:
        """The function's results, in the order of the tasks; each call is given a context."""
        self._turns.value = 0
        results: dict[int, Result] = {}
        context = TaskContext(self._meter_all, self._repeats)
        try:
            others = [self._executor.submit(_take_turns, function, tasks) for _ in range(self._others)]
            for number in _next_turns(self._turns, len(tasks)):
                results[number] = function(context, *tasks[number])
                _raise_failures(others)
            while wait(others, _POLL_SECONDS, FIRST_EXCEPTION).not_done:
                self._report()
                _raise_failures(others)
            self._report()
            for other in others:
                results |= other.result()
        except BrokenProcessPool as error:
            raise EtlError(
                "A worker process was ended from outside, perhaps for want of memory.",
                "Run again with --jobs 1, or on a machine with more memory.",
            ) from error
        self._seen = Seen()
        _release_memory()
        return (results[number] for number in range(len(tasks)))

    def close(self) -> None:
        """Ends the workers, whatever they are doing."""
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        self._asking.close()

    def _answer(self, asked: Connection) -> None:
        """Tells workers which hashes came before in the present call, as long as there may be workers."""
        with suppress(EOFError, OSError):
            while True:
                hashes = np.frombuffer(asked.recv_bytes(), np.uint64)
                asked.send_bytes(self._repeats(hashes).data)

    def _repeats(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        with self._adding:
            return self._seen.add(hashes)

    def _meter_all(self, size: int, records: int) -> None:
        _count(self._counts, size, records)
        self._report()

    def _report(self) -> None:
        size, records = self._counts[0], self._counts[1]
        if (size, records) != self._told:
            self._meter(size - self._told[0], records - self._told[1])
            self._told = size, records


def dedicate() -> None:
    """Sets this process to work on batch after batch: memory that numpy frees stays for the next (glibc)."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
    for option in _ALLOCATION.values():
        _call_glibc("mallopt", *option)


def _release_memory() -> None:
    """Gives back what was kept for the next batch: what comes next may need other memory."""
    _call_glibc("malloc_trim", 0)


def _call_glibc(name: str, *numbers: int) -> None:
    """Calls a function that only glibc has."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function:
        function(*numbers)


@contextmanager
def workers(jobs: int, meter: Meter) -> Iterator[Engine]:
    """Something to run tasks on: this process for one job, a pool of processes for more."""
    if jobs <= 1:
        yield Inline(meter)
        return
    pool = Pool(meter, jobs)
    try:
        yield pool
    finally:
        pool.close()


def _take_turns(function: Callable[..., Result], tasks: list[tuple[Any, ...]]) -> dict[int, Result]:
    results = {number: function(_context, *tasks[number]) for number in _next_turns(_turns, len(tasks))}
    _release_memory()
    return results


def _next_turns(turns: Any, count: int) -> Iterator[int]:
    """The numbers of tasks that nobody else has taken."""
    while True:
        with turns.get_lock():
            number = turns.value
            turns.value = number + 1
        if number >= count:
            return
        yield number


def _raise_failures(futures: list[Future[Any]]) -> None:
    for future in futures:
        if future.done():
            future.result()


def _count(counts: Any, size: int, records: int) -> None:
    with counts.get_lock():
        counts[0] += size
        counts[1] += records


def _start_worker(counts: Any, turns: Any, asking: Connection, lock: Any) -> None:
    def repeats(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        with lock:
            asking.send_bytes(hashes.data)
            return np.frombuffer(asking.recv_bytes(), np.bool_)

    global _context, _turns  # what a worker process keeps between tasks
    _context, _turns = TaskContext(partial(_count, counts), repeats), turns
    dedicate()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts the whole group; the parent ends its workers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with_parent, args=(parent.sentinel,), daemon=True).start()


def _end_with_parent(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
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
