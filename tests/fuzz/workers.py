"""`make fuzz`: looks for faults in two processes, for some time. Exits with 1 if it finds one.

A process that a fault kills, or that hangs, is seen from here: the seed of its case is known.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import sys
import time
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

    from tests.fuzz.cases import Case
    from tests.fuzz.search import Found

#: A case that takes longer hangs.
_HANG_SECONDS = 300


def main() -> int:
    """Fuzzes, and says what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long to look; 600 by default")
    parser.add_argument("--seed", type=int, help="the first seed; a random one by default")
    parser.add_argument("--count", type=int, help="how many seeds; by default as many as the time allows")
    parser.add_argument("--jobs", type=int, default=2, help="processes; 2 by default")
    parser.add_argument("--kinds", help="kinds of cases, with commas between; all by default")
    options = parser.parse_args()
    first = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    jobs = min(options.jobs, options.count or options.jobs)
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    current = [context.Value("q", -1) for _ in range(jobs)]
    until = time.monotonic() + options.seconds
    workers = [
        context.Process(
            target=_work,
            args=(_Share(first + turn, jobs, options.count and options.count - turn, options.kinds), until, seed),
        )
        for turn, seed in enumerate(current)
    ]
    print(f"Seeds from {first} on, {options.seconds:.0f} s.", flush=True)
    for worker in workers:
        worker.start()
    is_clean = _watch(workers, current)
    drawn = sum(max(0, (value.value - first) // jobs + 1) for value in current)
    print(f"{drawn:,} cases, {'no fault' if is_clean else 'faults'}.")
    return not is_clean


class _Share(NamedTuple):
    """The seeds of a process: the first, each so-many-eth, up to how many, and the kinds of their cases."""

    first: int
    step: int
    number: int | None
    kinds: str | None


def _work(share: _Share, until: float, current: Synchronized[int]) -> None:
    """Looks for faults among every so-many-eth seed; ends with 1 if there are any."""
    from tests.fuzz.cases import kind_of
    from tests.fuzz.search import minimised, search

    def begin(seed: int) -> None:
        current.value = seed

    first, step, number, kinds = share
    seeds = range(first, first + number, step) if number else count(first, step)
    wanted = (seed for seed in seeds if not kinds or kind_of(seed) in kinds.split(","))
    is_clean = True
    for found in search(wanted, lambda: time.monotonic() > until, begin):
        is_clean = False
        _report(found, minimised(found.case, found.fault))
    sys.exit(not is_clean)


def _report(found: Found, case: Case) -> None:
    from tests.fuzz.search import keep

    path = keep(case)
    shown = f": {case.data!r}" if len(case.data) <= 400 else ""
    lines = (
        f"FAULT {found.fault.law}, {found.fault.where}, {case.kind} of seed {found.seed}: {found.fault.detail}",
        f"  kept: {path} ({len(case.data):,} bytes){shown}",
        f"  again: python -m tests.fuzz --count 1 --seed {found.seed}",
    )
    print("\n".join(lines), flush=True)


def _watch(workers: list[multiprocessing.context.SpawnProcess], current: list[Synchronized[int]]) -> bool:
    """Waits for the processes; returns whether none found a fault, was killed or hung."""
    seen = [(-1, time.monotonic())] * len(workers)
    is_clean = True
    while any(worker.is_alive() for worker in workers):
        time.sleep(0.2)
        for number, worker in enumerate(workers):
            if current[number].value != seen[number][0]:
                seen[number] = current[number].value, time.monotonic()
            if worker.is_alive() and time.monotonic() - seen[number][1] > _HANG_SECONDS:
                worker.kill()
    for number, worker in enumerate(workers):
        is_clean &= worker.exitcode == 0
        if worker.exitcode not in (0, 1):
            _report_killed(current[number].value, worker.exitcode)
    return is_clean


def _report_killed(seed: int, code: int | None) -> None:
    from tests.fuzz.cases import draw
    from tests.fuzz.laws import Fault
    from tests.fuzz.search import Found

    if seed < 0:
        print(f"A process ended with exit code {code} before its first case.")
        return
    case = draw(seed)
    _report(Found(seed, Fault("crash", f"exit code {code}", "the process was killed or hung"), case), case)
