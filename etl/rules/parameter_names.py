"""Looks up parameter names in a ruleset: the fields a name can fill, or the known name it is close to (rules 2)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

import polars as pl

from etl.rules import page
from etl.rules.ruleset import Ruleset, fold

_BRACKETS: Final = re.compile(r"([^\[\]]+)\[([0-9]*)\](?:\[([^\[\]]+)\])?", re.ASCII)

#: What stands before a name in a query that was escaped as HTML.
_ESCAPED: Final = re.compile(r"(?:amp;)+")

#: Added to the rank of a path, so that a value from a path loses to every parameter sent under an accepted name.
_AFTER_ALIASES: Final = 1000


class Meaning(NamedTuple):
    """The uses of one parameter name under a ruleset; None or -1 where a use does not apply.

    Attributes:
        core: Index of the field in `Ruleset.core_fields`.
        core_rank: Precedence of the name among the names of that field; 0 is the highest.
        exact: Index of the field in `Ruleset.exact_fields`.
        exact_rank: Precedence of the name among the names of that field.
        container: Index of the name among the accepted names of an items array.
        bracket_index: Index of an item: `0` of `items[0][id]`, empty for `items[][id]`.
        bracket_field: Field of an item: `id` of `items[0][id]`.
        is_passthrough: Whether the name has the prefix `xat_`.
        is_purchase_alias: Whether a positive value of the parameter makes the conversion a Purchase.
        near_miss: The accepted name that was probably meant, if the name is not recognised.
        is_path_root: Whether a path of the ruleset leads into the parameter's JSON value.
        is_condition: Whether a condition of the ruleset looks at the parameter.
    """

    core: int = -1
    core_rank: int = 0
    exact: int = -1
    exact_rank: int = 0
    container: int = -1
    bracket_index: str | None = None
    bracket_field: str | None = None
    is_passthrough: bool = False
    is_purchase_alias: bool = False
    near_miss: str | None = None
    is_path_root: bool = False
    is_condition: bool = False

    @property
    def is_recognised(self) -> bool:
        """Whether the ruleset uses a parameter of this name."""
        is_looked_at = self.is_passthrough or self.is_path_root or self.is_condition
        return self.core >= 0 or self.exact >= 0 or self.container >= 0 or is_looked_at


_NAMES_SCHEMA: Final = pl.Schema(
    {
        "core": pl.Int8(),
        "core_rank": pl.Int16(),
        "exact": pl.Int8(),
        "exact_rank": pl.Int16(),
        "container": pl.Int8(),
        "bracket_index": pl.String(),
        "bracket_field": pl.String(),
        "is_passthrough": pl.Boolean(),
        "is_purchase_alias": pl.Boolean(),
        "near_miss": pl.String(),
        "is_path_root": pl.Boolean(),
        "is_condition": pl.Boolean(),
        "is_recognised": pl.Boolean(),
    }
)


def meanings_of(names: pl.Series, ruleset: Ruleset) -> pl.DataFrame:
    """Returns the meaning of each name: the attributes of `Meaning` as columns, and `is_recognised`."""
    found = (meaning_of(name, ruleset) for name in names)
    return pl.DataFrame([(*meaning, meaning.is_recognised) for meaning in found], schema=_NAMES_SCHEMA, orient="row")


#: Longer names are looked up each time, so that names of strangers do not fill the memory.
_LONGEST_KEPT: Final = 200


def meaning_of(name: str, ruleset: Ruleset) -> Meaning:
    """Returns the meaning of a parameter name under a ruleset.

    Source: rules 2.1 to 2.6, 7.4, 8.1.

    Examples:
        >>> meaning_of("Click-Id", Ruleset()).core, meaning_of("firstname", Ruleset()).near_miss
        (0, 'first_name')
    """
    return (_kept_meaning if len(name) <= _LONGEST_KEPT else _find_meaning)(name, ruleset)


def _find_meaning(name: str, ruleset: Ruleset) -> Meaning:
    known = _known_names(ruleset)
    folded = fold(name)
    bracket = _BRACKETS.fullmatch(name)
    holder = bracket[1] if bracket else name
    container = known.containers.get(holder if ruleset.items_names == "exact" else fold(holder), -1)
    if container < 0 and name in ruleset.path_ranks:
        rank, parameter = ruleset.path_ranks[name]
        rank += _AFTER_ALIASES
        return meaning_of(parameter, ruleset)._replace(core_rank=rank, exact_rank=rank)
    core, core_rank = _NOWHERE if known.is_misspelled_email(name, folded) else known.core.get(folded, _NOWHERE)
    exact, exact_rank = known.exact.get(name, _NOWHERE)
    is_passthrough = name.startswith(page.PASSTHROUGH_PREFIX) and name != page.PASSTHROUGH_PREFIX
    meaning = Meaning(
        core,
        core_rank,
        exact,
        exact_rank,
        container,
        bracket[2] if bracket and container >= 0 else None,
        bracket[3] if bracket and container >= 0 else None,
        is_passthrough,
        folded == page.PURCHASE_ALIAS,
        is_path_root=name in ruleset.path_roots,
        is_condition=folded in ruleset.condition_names,
    )
    return meaning if meaning.is_recognised else meaning._replace(near_miss=_find_near_miss(name, ruleset))


_kept_meaning = lru_cache(maxsize=16_384)(_find_meaning)

#: Index and rank of a name that fills no field.
_NOWHERE: Final = (-1, 0)

#: A known name that is shorter is never the near miss of another name.
_SHORTEST_NEAR: Final = 5


class _Halves(NamedTuple):
    """Known names by halves: whatever one edit does to a form, it leaves its first or its second half as it is.

    A name is (place in the order of precedence, form, accepted name).

    Attributes:
        first: The names, by the length and the first half of their forms.
        second: The names, by the length and the second half of their forms.
    """

    first: dict[tuple[int, str], list[tuple[int, str, str]]]
    second: dict[tuple[int, str], list[tuple[int, str, str]]]


class _KnownNames(NamedTuple):
    """The names of a ruleset, so that looking a name up costs the same however many there are.

    Attributes:
        core: Index of the core field and rank, by folded name; the first field and the first rank count.
        exact: Index of the exact field and rank, by name.
        containers: Index among the accepted names of an items array, by name as the ruleset compares them.
        emails: Names of the identity `email` as spelled, by their folded form, if they count only as spelled.
        exact_folded: The first exact name of each folded form.
        folded_halves: Names of core fields and items arrays; their forms are folded.
        exact_halves: Exact names; their forms are as they are spelled.
    """

    core: dict[str, tuple[int, int]]
    exact: dict[str, tuple[int, int]]
    containers: dict[str, int]
    emails: dict[str, set[str]]
    exact_folded: dict[str, str]
    folded_halves: _Halves
    exact_halves: _Halves

    def is_misspelled_email(self, name: str, folded: str) -> bool:
        """Whether a name would be an e-mail address by its folded form alone (rules 2.5)."""
        return folded in self.emails and name not in self.emails[folded]


@lru_cache(maxsize=16)
def _known_names(ruleset: Ruleset) -> _KnownNames:
    """Returns the names of a ruleset, folded once."""
    core: dict[str, tuple[int, int]] = {}
    exact: dict[str, tuple[int, int]] = {}
    containers: dict[str, int] = {}
    emails: dict[str, set[str]] = {}
    for index, field in enumerate(ruleset.core_fields):
        for rank, folded in enumerate(dict.fromkeys(map(fold, field.accepted))):
            core.setdefault(folded, (index, rank))
            if ruleset.email_identity == "exact" and field.name == "email" and core[folded][0] == index:
                emails[folded] = set(field.accepted)
    for index, field in enumerate(ruleset.exact_fields):
        for rank, name in enumerate(field.accepted):
            exact.setdefault(name, (index, rank))
    for index, name in enumerate(ruleset.item_containers.accepted):
        containers.setdefault(name if ruleset.items_names == "exact" else fold(name), index)
    spelled = [name for field in ruleset.exact_fields for name in field.accepted]
    folding = [name for field in (*ruleset.core_fields, ruleset.item_containers) for name in field.accepted]
    exact_folded = {fold(name): name for name in reversed(spelled)}
    halves = _halves_of([(fold(name), name) for name in folding]), _halves_of([(name, name) for name in spelled])
    return _KnownNames(core, exact, containers, emails, exact_folded, *halves)


def _halves_of(names: list[tuple[str, str]]) -> _Halves:
    """Indexes known names, given as pairs of form and accepted name."""
    halves = _Halves({}, {})
    for place, (form, name) in enumerate(names):
        if len(form) >= _SHORTEST_NEAR:
            for index, half in zip(halves, _halve(form, len(form)), strict=True):
                index.setdefault((len(form), half), []).append((place, form, name))
    return halves


def _halve(form: str, length: int) -> tuple[str, str]:
    """Returns the first and the last characters of a form, as many as halves of a known form of a length have."""
    return form[: length // 2], form[length // 2 - length :]


def _find_near_miss(name: str, ruleset: Ruleset) -> str | None:
    """Returns the accepted name that was probably meant (rules 2.6).

    It is the name behind `amp;`, or else a name of the same folded form, or else one within one edit: of folded names
    for core fields and items, of names as spelled for exact names.
    """
    escaped = _ESCAPED.match(name)
    if escaped and meaning_of(name[escaped.end() :], ruleset).is_recognised:
        return name[escaped.end() :]
    known = _known_names(ruleset)
    folded = fold(name)
    if folded in known.exact_folded:
        return known.exact_folded[folded]
    return _nearest(folded, known.folded_halves) or _nearest(name, known.exact_halves)


def _nearest(form: str, halves: _Halves) -> str | None:
    """Returns the first known name within one edit of a form."""
    near: list[tuple[int, str, str]] = []
    for length in range(len(form) - 1, len(form) + 2):
        first, second = _halve(form, length)
        near += halves.first.get((length, first), ())
        near += halves.second.get((length, second), ())
    return min((one for one in near if is_within_one_edit(form, one[1])), default=(0, "", None))[2] if near else None


def is_within_one_edit(left: str, right: str) -> bool:
    """Returns whether two texts are equal or differ by one insertion, deletion or substitution."""
    if len(left) > len(right):
        left, right = right, left
    if len(right) - len(left) > 1:
        return False
    same = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), len(left))
    return left[same + (len(left) == len(right)) :] == right[same + 1 :]
