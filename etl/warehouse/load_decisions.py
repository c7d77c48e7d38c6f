"""What a load does with each input: loads it, passes over it because it is known, or lets it replace what it grew from.

Inputs are known by the SHA-256 of their decompressed bytes. An input that begins with all bytes of another is that one,
grown: it takes its place, whole, because ids are made of the digest of the whole. One that another, loaded, input
begins with is an earlier state of it and is passed over, so that the order of loads plays no part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import InputError
from etl.runner.stage_inputs import Surveyed
from etl.sources.storage.decompress import RUNG_BYTES

#: What becomes of an input, and what is said of it.
LOAD: Final = "load"
RELOAD: Final = "reload"
SKIP: Final = "skip"

#: Gives the digest of the first bytes of an input that is known by its digest, or None if it cannot be read any more.
Compare = Callable[[str, int], str | None]


class Decision(NamedTuple):
    """What becomes of an input.

    Attributes:
        surveyed: The input, under one of its names.
        action: LOAD, RELOAD or SKIP.
        why: In a few words.
        names: All paths under which it was ever seen, in order; its rows bear the first.
        is_new_name: One of them was not known.
        replaces: Digests of loaded inputs that it begins with.
        grew_from: Digests of all inputs, loaded or not, that it begins with.
    """

    surveyed: Surveyed
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


class _Shape(NamedTuple):
    """What of an input tells whether another begins with it."""

    digest: str
    name: str
    size: int
    ladder: bytes


def decide(
    surveyed: list[Surveyed], loads: pl.DataFrame, rules: str, compare: Compare, *, is_reload: bool
) -> list[Decision]:
    """Decides on each input once, in the order of their digests.

    Args:
        surveyed: The inputs, those of the same bytes under other names too.
        loads: Rows of `layout.LOADS`.
        rules: Digest of the present rules.
        compare: Reads a known input again.
        is_reload: Known inputs are to be read again.

    Raises:
        InputError: An input seems to be an earlier state of one that cannot be read any more.
    """
    known = {row["digest"]: row for row in loads.iter_rows(named=True)}
    by_digest: dict[str, list[Surveyed]] = defaultdict(list)
    for one in surveyed:
        by_digest[one.survey.digest].append(one)
    longer = _beginnings(by_digest, known, compare)
    return [_decision(by_digest[digest], known, longer, rules, is_reload=is_reload) for digest in sorted(by_digest)]


def _decision(
    same: list[Surveyed],
    known: dict[str, dict[str, Any]],
    longer: list[tuple[_Shape, _Shape]],
    rules: str,
    *,
    is_reload: bool,
) -> Decision:
    one, digest = same[0], same[0].survey.digest
    row = known.get(digest)
    earlier = next((long.name for short, long in longer if short.digest == digest), None)
    grown = next((row["source"] for row in known.values() if digest in row["grew_from"]), None)
    names = tuple(sorted({item.input.source for item in same} | set(row["names"] if row else ())))
    if earlier or grown:
        return Decision(one, SKIP, f"it is an earlier state of {earlier or grown}", names)
    shorter = frozenset(short.digest for short, long in longer if long.digest == digest)
    replaces = shorter & known.keys()
    grew_from = shorter.union(*(known[short]["grew_from"] for short in replaces))
    if row is None:
        why = f"it has grown since {known[min(replaces)]['source']} was loaded" if replaces else "it is new"
        return Decision(one, LOAD, why, names, replaces=replaces, grew_from=grew_from)
    grew_from |= set(row["grew_from"])
    is_new_name = names != tuple(row["names"]) or grew_from != set(row["grew_from"])
    is_same = row["rules_digest"] == rules
    if is_reload:
        return Decision(one, RELOAD, "it is known" if is_same else "the rules have changed", names, grew_from=grew_from)
    why = f"it is loaded as {row['source']}" if is_same else "it was loaded by other rules; --reload reads it again"
    return Decision(one, SKIP, why, names, is_new_name, grew_from=grew_from)


def _beginnings(
    by_digest: dict[str, list[Surveyed]], known: dict[str, dict[str, Any]], compare: Compare
) -> list[tuple[_Shape, _Shape]]:
    """The pairs of inputs of which the second begins with the first, and one at least is new."""
    outgrown = {digest for row in known.values() for digest in row["grew_from"]}
    new = [
        _Shape(digest, same[0].input.source, same[0].survey.plain_bytes, same[0].survey.ladder)
        for digest, same in by_digest.items()
        if digest not in known and digest not in outgrown
    ]
    old = [_Shape(digest, row["source"], row["bytes"], row["ladder"]) for digest, row in known.items()]
    return [pair for pair in _candidates(new, old) if _begins(*pair, compare)]


def _candidates(new: list[_Shape], old: list[_Shape]) -> Iterator[tuple[_Shape, _Shape]]:
    """Pairs, the shorter first, that agree up to the last rung of the shorter."""
    for one, other in [*combinations(new, 2), *product(new, old)]:
        short, long = sorted((one, other), key=lambda shape: shape.size)
        last = slice(len(short.ladder) - RUNG_BYTES, len(short.ladder))
        if short.ladder and short.size < long.size and short.ladder[last] == long.ladder[last]:
            yield short, long


def _begins(short: _Shape, long: _Shape, compare: Compare) -> bool:
    beginning = compare(long.digest, short.size)
    if beginning is None:
        raise InputError(
            f"{short.name} seems to be an earlier state of {long.name}, which cannot be read to make sure.",
            f"Leave it out, or name it together with the input whose digest begins with {long.digest[:12]}.",
        )
    return beginning == short.digest


def described(decision: Decision) -> dict[str, Any]:
    """A decision, as the report of a load shows it."""
    item = decision.surveyed
    return {
        "path": decision.surveyed.input.source,
        "digest": decision.digest,
        "bytes": item.survey.stored_bytes,
        "action": decision.action,
        "why": decision.why,
    }
