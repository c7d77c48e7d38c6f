"""Names that nothing reads: what is near them, and that each costs the same however many names are known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.rules import parameter_names
from etl.rules.parameter_names import Meaning, is_within_one_edit, meaning_of
from etl.rules.ruleset import Ruleset, fold
from etl.rules.vendors import find_ruleset, shipped_names
from tests.commands import run
from tests.effort import draws
from tests.records import LINE

RULESETS = [
    Ruleset(),
    dataclasses.replace(Ruleset(), email_identity="exact", items_names="exact"),
    *map(find_ruleset, shipped_names()),
]


def accepted(ruleset: Ruleset) -> tuple[list[str], list[str]]:
    """The names of core fields and items arrays, and the names that count as spelled."""
    folding = [name for field in (*ruleset.core_fields, ruleset.item_containers) for name in field.accepted]
    return folding, [name for field in ruleset.exact_fields for name in field.accepted]


def test_names_that_are_many_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.runner.run.MOST_NAMES", 2)
    (tmp_path / "a.log").write_text(LINE.format("click_id=a&d=1&c=1&b=1&a=1&c=2&d=2&d=3"), encoding="utf-8")
    run("run", tmp_path / "a.log", "--out", tmp_path / "out", "--summary", tmp_path / "summary.json")
    summary = json.loads((tmp_path / "summary.json").read_bytes())
    assert summary["unrecognised_parameters"] == {"d": 3, "c": 2}
    assert summary["unrecognised_parameters_left_out"] == {"names": 2, "parameters": 2}


def near_miss(name: str, ruleset: Ruleset) -> str | None:
    """The name that was meant, the slow way: every known name is compared."""
    folding, exact = accepted(ruleset)
    same = [known for known in exact if fold(known) == fold(name)]
    near = [known for known in folding if len(fold(known)) >= 5 and is_within_one_edit(fold(name), fold(known))]
    near += [known for known in exact if len(known) >= 5 and is_within_one_edit(name, known)]
    return next(iter(same + near), None)


def core_of(name: str, ruleset: Ruleset) -> tuple[int, int]:
    """Index and rank of the core field that a name fills, the slow way."""
    for index, field in enumerate(ruleset.core_fields):
        folded = list(dict.fromkeys(map(fold, field.accepted)))
        if fold(name) in folded:
            is_other = ruleset.email_identity == "exact" and field.name == "email" and name not in field.accepted
            return (-1, 0) if is_other else (index, folded.index(fold(name)))
    return -1, 0


@settings(max_examples=draws(200, 1_500), deadline=None)
@given(data=st.data())
def test_a_name_means_what_comparing_it_with_every_known_name_finds(data: st.DataObject) -> None:
    ruleset = data.draw(st.sampled_from(RULESETS))
    name = data.draw(st.sampled_from([name for names in accepted(ruleset) for name in names]))
    for _ in range(data.draw(st.integers(0, 2))):
        place, cut = data.draw(st.integers(0, len(name))), data.draw(st.integers(0, 1))
        name = name[:place] + data.draw(st.sampled_from(["", "_", "-", "e", "X", "é"])) + name[place + cut :]
    meaning = meaning_of(name, ruleset)
    if name not in ruleset.path_ranks:
        assert (meaning.core, meaning.core_rank) == core_of(name, ruleset)
    if not meaning.is_recognised:
        assert meaning.near_miss == near_miss(name, ruleset)


def test_a_name_that_nothing_reads_costs_the_same_however_many_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[str] = []

    def counting(name: str) -> str:
        folded.append(name)
        return fold(name)

    meaning_of("warm", Ruleset())
    monkeypatch.setattr(parameter_names, "fold", counting)
    names = [f"nobody_reads_{number}" for number in range(100)]
    assert {meaning_of(name, Ruleset()) for name in names} == {Meaning()}
    assert len(folded) <= 4 * len(names)
