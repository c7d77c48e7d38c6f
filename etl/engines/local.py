"""Work on this machine: in this process for little input, in one process a core for much.

Workers run polars on one thread each, so that its threads and ours do not fight. Which keys came before they ask this
process, one of them at a time. A worker whose parent is gone ends.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from etl.engines.seen import Seen
from etl.engines.work import Desk, Meter
from etl.errors import EtlError

Result = TypeVar("Result")

_POLL_SECONDS: Final = 0.2

#: One thread of polars' own; and memory that numpy frees stays with the process for its next batch (glibc).
_WORKER_ENVIRONMENT: Final = {
    "POLARS_MAX_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
}

#: A batch makes many small objects and no cycles: looking for garbage as often as Python does costs a twentieth.
_GARBAGE_THRESHOLD: Final = 1_000_000

_desk: Desk


class Inline:
    """Runs tasks one after another in this process."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def map(self, function: Callable[..., Result], tasks: list[tuple[Any, ...]]) -> Iterator[Result]:
        """The function's results, in the order of the tasks; a function that takes a desk is given one."""
        desk = Desk(self._meter, Seen().add)
        for task in tasks:
            yield _called(function, task, desk)


class Pool:
    """Runs tasks in processes."""

    def __init__(self, meter: Meter, jobs: int) -> None:
        self._meter = meter
        spawning = multiprocessing.get_context("spawn")
        self._counts: Any = spawning.Array("q", 2)
        self._told = (0, 0)
        self._seen = Seen()
        asked, self._asking = spawning.Pipe()
        threading.Thread(target=self._answer, args=(asked,), daemon=True).start()
        with _environment(**_WORKER_ENVIRONMENT):
            self._executor = ProcessPoolExecutor(
                jobs, spawning, _start_worker, (self._counts, self._asking, spawning.Lock())
            )
            self._warm = [self._executor.submit(os.getpid) for _ in range(jobs)]

    def map(self, function: Callable[..., Result], tasks: list[tuple[Any, ...]]) -> Iterator[Result]:
        """The function's results, in the order of the tasks; a function that takes a desk is given one."""
        futures: list[Future[Result]] = [self._executor.submit(_run, function, task) for task in tasks]
        pending: set[Future[Result]] = set(futures)
        while pending:
            done, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
            self._report()
            for future in done:
                try:
                    future.result()
                except BrokenProcessPool as error:
                    raise EtlError(
                        "A worker process was ended from outside, perhaps for want of memory.",
                        "Run again with --jobs 1, or on a machine with more memory.",
                    ) from error
        self._seen = Seen()
        return (future.result() for future in futures)

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
                asked.send_bytes(self._seen.add(hashes).data)

    def _report(self) -> None:
        size, records = self._counts[0], self._counts[1]
        if (size, records) != self._told:
            self._meter(size - self._told[0], records - self._told[1])
            self._told = size, records


@contextmanager
def workers(jobs: int, meter: Meter) -> Iterator[Inline | Pool]:
    """Something to run tasks on: this process for one job, a pool of processes for more."""
    if jobs <= 1:
        yield Inline(meter)
        return
    pool = Pool(meter, jobs)
    try:
        yield pool
    finally:
        pool.close()


def _called(function: Callable[..., Result], task: tuple[Any, ...], desk: Desk) -> Result:
    return function(*task, desk) if "desk" in function.__annotations__ else function(*task)


def _run(function: Callable[..., Result], task: tuple[Any, ...]) -> Result:
    return _called(function, task, _desk)


def _start_worker(counts: Any, asking: Connection, lock: Any) -> None:
    def count(size: int, records: int) -> None:
        with counts.get_lock():
            counts[0] += size
            counts[1] += records

    def repeats(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        with lock:
            asking.send_bytes(hashes.data)
            return np.frombuffer(asking.recv_bytes(), np.bool_)

    global _desk  # noqa: PLW0603 - the one thing that a worker process keeps between tasks
    _desk = Desk(count, repeats)
    gc.set_threshold(_GARBAGE_THRESHOLD)
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
