"""Workers: all processes take tasks in turns, and one that fails ends the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from etl.engines.local_pool import workers
from etl.errors import EtlError, InputError
from etl.runner.engine import TaskContext

JOBS = 3


def note(_context: TaskContext, number: int) -> tuple[int, int]:
    """Its number, and who did it."""
    time.sleep(0.02)
    return number, os.getpid()


def ask(context: TaskContext, number: int) -> bool:
    """Whether its key came before; the earlier a task, the later it asks."""
    time.sleep(0.01 * (6 - number))
    return bool(context.find_repeats(np.array([7, number], np.uint64))[0])


def ask_or_die(context: TaskContext, number: int, parent: int) -> bool:
    """Asks for its key in the parent, ends any other process before."""
    return ask(context, number) if os.getpid() == parent else bool(die(context, parent))


def refuse(_context: TaskContext, parent: int) -> None:
    """Fails anywhere but in the parent."""
    time.sleep(0.02)
    if os.getpid() != parent:
        raise InputError("A worker cannot read this.", "Look at it.")


def die(_context: TaskContext, parent: int) -> None:
    """Ends any process but the parent, as the system does for want of memory."""
    time.sleep(0.02)
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def nothing(_size: int, _records: int) -> None:
    """Nobody is told of progress."""


def test_results_come_in_the_order_of_the_tasks_whoever_did_them() -> None:
    with workers(JOBS, nothing) as pool:
        for count in (0, 1, 200):
            results = list(pool.map(note, [(number,) for number in range(count)]))
            assert [number for number, _ in results] == list(range(count))
    assert len({process for _, process in results}) == JOBS
    assert os.getpid() in {process for _, process in results}


def test_keys_are_met_in_the_order_of_the_tasks() -> None:
    with workers(JOBS, nothing) as pool:
        for _ in range(2):
            assert list(pool.map(ask, [(number,) for number in range(6)])) == [False, *[True] * 5]


def test_no_task_waits_for_one_that_was_killed() -> None:
    with pytest.raises(EtlError, match="was killed, probably because memory ran out"), workers(JOBS, nothing) as pool:
        pool.map(ask_or_die, [(5, os.getpid())] * 100_000)


def test_what_a_worker_fails_of_ends_the_work() -> None:
    with pytest.raises(InputError, match="cannot read this"), workers(JOBS, nothing) as pool:
        pool.map(refuse, [(os.getpid(),)] * 100_000)
    end = time.monotonic() + 10
    while multiprocessing.active_children():  # a dead one counts as active until the pool's own thread has reaped it
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_worker_that_is_killed_at_work_ends_the_work() -> None:
    with pytest.raises(EtlError, match="was killed, probably because memory ran out"), workers(JOBS, nothing) as pool:
        pool.map(die, [(os.getpid(),)] * 100_000)
    assert not multiprocessing.active_children()


def test_a_worker_that_was_killed_before_ends_the_work() -> None:
    with workers(JOBS, nothing) as pool:
        list(pool.map(note, [(0,)]))
        for worker in multiprocessing.active_children():
            worker.kill()
            worker.join()
        with pytest.raises(EtlError, match="was killed, probably because memory ran out"):
            pool.map(note, [(number,) for number in range(50)])
