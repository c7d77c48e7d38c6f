"""The fuzzer finds planted faults, and what it found stays mended: `tests/fuzz`."""

from __future__ import annotations

import random
import time
from itertools import count, islice

import pytest

from tests.effort import thorough
from tests.fuzz import search
from tests.fuzz.cases import Case, draw
from tests.fuzz.laws import fault_of
from tests.fuzz.planted import LAWS, planted


@pytest.mark.parametrize("case", [pytest.param(case, id=path.stem) for path, case in search.kept()])
def test_what_was_found_stays_mended(case: Case) -> None:
    assert fault_of(case) is None


def test_a_planted_fault_is_found_again_by_its_seed_and_made_small() -> None:
    with planted("lost"):
        found = next(search.search(count(), lambda: False))
        small = search.minimised(found.case, found.fault, 1.0)
        assert search.fault_of(draw(found.seed)) == found.fault
    assert found.fault.law == "lost"
    assert len(small.data) < len(found.case.data)
    assert fault_of(small) is None


#: `make fuzz` has two processes in CI for two minutes: half a minute of each is left for what slows them.
_SECONDS = 180


@thorough
@pytest.mark.parametrize("law", LAWS)
def test_a_planted_fault_is_found_in_time(law: str) -> None:
    first, began = random.randrange(1 << 32), time.process_time()
    with planted(law):
        cases = search.search(count(first), lambda: time.process_time() - began > _SECONDS)
        assert next((one for one in islice(cases, 99) if one.fault.law == law), None), first
