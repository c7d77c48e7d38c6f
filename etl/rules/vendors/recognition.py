"""Recognises records that a shipped ruleset reads, by the names of their parameters (rules 11.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from typing import Final, NamedTuple

from etl.rules.parameter_names import meaning_of
from etl.rules.ruleset import Ruleset, fold
from etl.rules.vendors import shipped_names, shipped_recognition


class Signature(NamedTuple):
    """The folded names that the records of a vendor have: all of them together recognise a record."""

    ruleset: str
    what: str
    names: frozenset[str]

    @property
    def advice(self) -> str:
        """What to do with such a record."""
        return f"looks like {self.what}: --ruleset {self.ruleset}"

    def advise(self, count: int) -> str:
        """Says how many postbacks look so, and what to do with them."""
        looks = "postback looks" if count == 1 else "postbacks look"
        return f"{count:,} {looks} like {self.what}: --ruleset {self.ruleset}"


_folded: Final = lru_cache(4096)(fold)


@cache
def signatures() -> tuple[Signature, ...]:
    """Returns the signatures in the files of the shipped rulesets, those with the most names first."""
    tables = ((name, shipped_recognition(name)) for name in shipped_names())
    found = (
        Signature(name, table["what"], frozenset(map(fold, names)))
        for name, table in tables
        for names in table.get("names", ())
    )
    return tuple(sorted(found, key=lambda one: -len(one.names)))


def recognise(names: Collection[str], ruleset: Ruleset) -> Signature | None:
    """Returns what a record with these parameters looks like; None where the ruleset in use reads all that shows it.

    Examples:
        >>> event = ("id", "object", "type", "livemode", "data")
        >>> recognise(event, Ruleset()).advice
        'looks like a Stripe event: --ruleset stripe'
        >>> recognise(("click_id", "payout"), Ruleset())
    """
    folded = {_folded(name): name for name in names}
    for one in signatures():
        if one.ruleset != ruleset.name and one.names <= folded.keys():
            unread = [name for name in one.names if not meaning_of(folded[name], ruleset).is_recognised]
            return one if unread else None
    return None


def recognise_input(unread: Mapping[str, int], ruleset: Ruleset) -> tuple[Signature, int] | None:
    """Returns what postbacks of an input look like, and how many do at most.

    Args:
        unread: Parameters that the ruleset in use does not read, and how many postbacks have them.
        ruleset: The ruleset in use.

    Examples:
        >>> found, count = recognise_input({"object": 3, "type": 4, "livemode": 3, "data": 3}, Ruleset())
        >>> found.ruleset, count
        ('stripe', 3)
    """
    folded: dict[str, int] = {}
    for name, count in unread.items():
        folded[fold(name)] = folded.get(fold(name), 0) + count
    for one in signatures():
        names = [name for name in one.names if not meaning_of(name, ruleset).is_recognised]
        if one.ruleset != ruleset.name and names and folded.keys() >= set(names):
            return one, min(folded[name] for name in names)
    return None
