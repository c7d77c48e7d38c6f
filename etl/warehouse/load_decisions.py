"""Decides what a load does with each input: load it, skip it because it is known, or let it replace its earlier state.

An input is known by the SHA-256 of its decompressed bytes. If an input begins with all bytes of another input, it is
the grown state of that input. It replaces the earlier state whole, because ids are made from the digest of the whole
input. If a loaded input begins with all bytes of a new input, the new input is an earlier state and is skipped. So the
order of loads does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import InputError
from etl.rules.ruleset import RULES_VERSION
from etl.runner.stage_inputs import SurveyedInput
from etl.sources.storage.surveys import PREFIX_DIGEST_BYTES

#: The actions.
LOAD: Final = "load"
RELOAD: Final = "reload"
SKIP: Final = "skip"

#: Why an input in no known format is skipped.
UNKNOWN_FORMAT: Final = "it is in no known format"

#: Takes the digest of an input and a size; returns the digest of so many first bytes of that input, or None if the
#: input cannot be read any more.
Compare = Callable[[str, int], str | None]


class Decision(NamedTuple):
    """What a load does with an input.

    Attributes:
        surveyed: The input, under one of its names.
        action: LOAD, RELOAD or SKIP.
        why: The reason, in a few words.
        names: All paths under which the input was ever found, in order; the first is the source of its rows.
        is_new_name: The row of `loads` changes: a name is new, or the input begins with a further earlier state.
        replaces: Digests of loaded inputs that this input begins with.
        grew_from: Digests of all inputs, loaded or not, that this input begins with.
    """

    surveyed: SurveyedInput
    action: str
    why: str
    names: tuple[str, ...]
    is_new_name: bool = False
    replaces: frozenset[str] = frozenset()
    grew_from: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """The input's digest."""
        return self.surveyed.survey.digest


class _InputBytes(NamedTuple):
    """The size and digests of an input, by which earlier states are found."""

    digest: str
    name: str
    size: int
    ladder: bytes


def decide(
    surveyed: list[SurveyedInput], loads: pl.DataFrame, rules: dict[str, int], compare: Compare, *, is_reload: bool
) -> list[Decision]:
    """Decides on each input, in the order of the digests.

    Args:
        surveyed: The inputs, including several names of the same bytes.
        loads: Rows of `table_layout.LOADS`.
        rules: Digests of the present rules under each version of the rulings.
        compare: Reads the beginning of an input.
        is_reload: Read known inputs again.

    Raises:
        InputError: An input seems to be an earlier state of an input that cannot be read any more.
    """
    known = {row["digest"]: row for row in loads.iter_rows(named=True)}
    by_digest: dict[str, list[SurveyedInput]] = defaultdict(list)
    for item in surveyed:
        by_digest[item.survey.digest].append(item)
    longer = _grown_pairs(by_digest, known, compare)
    return [_decision(by_digest[digest], known, longer, rules, is_reload=is_reload) for digest in sorted(by_digest)]


def _decision(
    same: list[SurveyedInput],
    known: dict[str, dict[str, Any]],
    longer: list[tuple[_InputBytes, _InputBytes]],
    rules: dict[str, int],
    *,
    is_reload: bool,
) -> Decision:
    """Decides on an input.

    Args:
        same: The input under each of its names.
        known: Rows of `loads` by digest.
        longer: Pairs of inputs, of which the second begins with the first.
        rules: Digests of the present rules under each version of the rulings.
        is_reload: Read known inputs again.
    """
    surveyed, digest = same[0], same[0].survey.digest
    row = known.get(digest)
    earlier = next((long.name for short, long in longer if short.digest == digest), None)
    grown = next((row["source"] for row in known.values() if digest in row["grew_from"]), None)
    names = tuple(sorted({item.input.source for item in same} | set(row["names"] if row else ())))
    if earlier or grown:
        return Decision(surveyed, SKIP, f"it is an earlier state of {earlier or grown}", names)
    shorter = frozenset(short.digest for short, long in longer if long.digest == digest)
    replaces = shorter & known.keys()
    grew_from = shorter.union(*(known[short]["grew_from"] for short in replaces))
    if row is None:
        why = f"it has grown since {known[min(replaces)]['source']} was loaded" if replaces else "it is new"
        return Decision(surveyed, LOAD, why, names, replaces=replaces, grew_from=grew_from)
    grew_from |= set(row["grew_from"])
    is_new_name = names != tuple(row["names"]) or grew_from != set(row["grew_from"])
    version = rules.get(row["rules_digest"])
    is_same = version == RULES_VERSION
    if is_reload:
        return Decision(
            surveyed,
            RELOAD,
            "it was already loaded" if is_same else "the rules have changed",
            names,
            grew_from=grew_from,
        )
    if is_same:
        why = f"it is already loaded as {row['source']}"
    elif version:
        why = f"it was loaded under rules {version}; --reload judges it by rules {RULES_VERSION}"
    else:
        why = "it was loaded with other rules; --reload reads it again"
    return Decision(surveyed, SKIP, why, names, is_new_name, grew_from=grew_from)


def named_first(decision: Decision) -> SurveyedInput:
    """Returns the input of a decision, named by the first of its names."""
    surveyed = decision.surveyed
    return surveyed._replace(input=surveyed.input._replace(source=decision.names[0]), same_as=None)


def skip_unknown(decisions: list[Decision], unknown: set[str]) -> list[Decision]:
    """Returns the decisions, by which the inputs of the given names are skipped: they are in no known format."""
    return [
        decision._replace(action=SKIP, why=UNKNOWN_FORMAT, is_new_name=False)
        if decision.action != SKIP and decision.names[0] in unknown
        else decision
        for decision in decisions
    ]


def _grown_pairs(
    by_digest: dict[str, list[SurveyedInput]], known: dict[str, dict[str, Any]], compare: Compare
) -> list[tuple[_InputBytes, _InputBytes]]:
    """Returns the pairs of inputs of which the second begins with the first, and at least one is new."""
    outgrown = {digest for row in known.values() for digest in row["grew_from"]}
    new = [
        _InputBytes(digest, same[0].input.source, same[0].survey.plain_bytes, same[0].survey.ladder)
        for digest, same in by_digest.items()
        if digest not in known and digest not in outgrown
    ]
    old = [_InputBytes(digest, row["source"], row["bytes"], row["ladder"]) for digest, row in known.items()]
    return [pair for pair in _candidate_pairs(new, old) if _is_beginning(*pair, compare)]


def _candidate_pairs(new: list[_InputBytes], old: list[_InputBytes]) -> Iterator[tuple[_InputBytes, _InputBytes]]:
    """Yields pairs, the shorter input first, that agree in the largest digested prefix of the shorter input."""
    for left, right in [*combinations(new, 2), *product(new, old)]:
        short, long = sorted((left, right), key=lambda item: item.size)
        last = slice(len(short.ladder) - PREFIX_DIGEST_BYTES, len(short.ladder))
        if short.ladder and short.size < long.size and short.ladder[last] == long.ladder[last]:
            yield short, long


def _is_beginning(short: _InputBytes, long: _InputBytes, compare: Compare) -> bool:
    """Returns whether the longer input begins with all bytes of the shorter.

    Raises:
        InputError: The longer input cannot be read any more.
    """
    beginning = compare(long.digest, short.size)
    if beginning is None:
        raise InputError(
            f"{short.name} seems to be an earlier state of {long.name}, which cannot be read to confirm that.",
            f"Leave out {short.name}, or also name the input whose digest begins with {long.digest[:12]}.",
        )
    return beginning == short.digest


def describe_decision(decision: Decision) -> dict[str, Any]:
    """Returns a decision as an entry of a load's report."""
    item = decision.surveyed
    piped = {"is_spooled": True} if item.input.is_spooled else {}
    return {
        "path": item.input.source,
        "digest": decision.digest,
        "bytes": item.survey.stored_bytes,
        "action": decision.action,
        "why": decision.why,
        **piped,
    }
