"""The fuzzer finds planted faults, and what it found stays mended: `tests/fuzz`."""

from __future__ import annotations

import time
from itertools import count

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


#: The first seed in CI, and half of the processor time that its two processes have there.
_SEED, _SECONDS = 1, 120


@thorough
@pytest.mark.parametrize("law", LAWS)
def test_a_planted_fault_is_found_in_time(law: str) -> None:
    began = time.process_time()
    with planted(law):
        cases = search.search(count(_SEED), lambda: time.process_time() - began > _SECONDS)
        assert any(one.fault.law == law for one in cases)
