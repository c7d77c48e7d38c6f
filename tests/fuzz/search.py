"""Looks for faults in one process: draws cases, holds them against the laws, makes and keeps what breaks one small."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz.cases import Case, draw
from tests.fuzz.laws import Fault, fault_of

#: The inputs that were found. `tests/test_fuzz.py` replays them.
CORPUS: Final = Path(__file__).with_name("corpus")

#: What is left of a case after this time is kept as it is.
_MINIMISING_SECONDS: Final = 20.0


class Found(NamedTuple):
    """A fault, the seed that drew it, and its case."""

    seed: int
    fault: Fault
    case: Case


def search(
    seeds: Iterable[int], until: Callable[[], bool], begin: Callable[[int], None] = lambda seed: None
) -> Iterator[Found]:
    """Draws the cases of seeds, and yields the first case of each fault.

    Args:
        seeds: The seeds.
        until: Whether to end before the next case.
        begin: Called with each seed before its case is drawn.
    """
    seen = set[tuple[str, str]]()
    for seed in seeds:
        if until():
            return
        begin(seed)
        case = draw(seed)
        fault = fault_of(case)
        if fault and (fault.law, fault.where) not in seen:
            seen.add((fault.law, fault.where))
            yield Found(seed, fault, case)


def minimised(case: Case, fault: Fault, seconds: float = _MINIMISING_SECONDS) -> Case:
    """The case with fewer bytes that breaks the same law: without lines, then without spans down to single bytes."""
    until = time.monotonic() + seconds
    for joint in (b"\n", b""):
        parts = case.data.split(joint) if joint else [bytes([byte]) for byte in case.data]
        size = len(parts) // 2
        while size and time.monotonic() < until:
            start = 0
            while start < len(parts) and time.monotonic() < until:
                fewer = parts[:start] + parts[start + size :]
                if _is_broken(case._replace(data=joint.join(fewer)), fault):
                    parts = fewer
                else:
                    start += size
            size //= 2
        case = case._replace(data=joint.join(parts))
    return case


def _is_broken(case: Case, fault: Fault) -> bool:
    found = fault_of(case)
    return found is not None and (found.law, found.where) == (fault.law, fault.where)


def keep(case: Case) -> Path:
    """Writes a case to the corpus, under the name of its kind and its digest."""
    path = CORPUS / f"{case.kind}-{hashlib.sha256(case.data).hexdigest()[:8]}.in"
    path.write_bytes(case.data)
    return path


def kept() -> Iterator[tuple[Path, Case]]:
    """The cases of the corpus."""
    for path in sorted(CORPUS.glob("*.in")):
        yield path, Case(path.name.partition("-")[0], path.read_bytes())
