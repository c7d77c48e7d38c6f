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


@lru_cache(maxsize=65_536)
def meaning_of(name: str, ruleset: Ruleset) -> Meaning:
    """Returns the meaning of a parameter name under a ruleset.

    Source: rules 2.1 to 2.6, 7.4, 8.1.

    Examples:
        >>> meaning_of("Click-Id", Ruleset()).core, meaning_of("firstname", Ruleset()).near_miss
        (0, 'first_name')
    """
    folded = fold(name)
    core, core_rank = _find_core(name, folded, ruleset)
    exact, exact_rank = _find(name, [field.accepted for field in ruleset.exact_fields])
    bracket = _BRACKETS.fullmatch(name)
    container = _find_container(bracket[1] if bracket else name, ruleset)
    if container < 0 and name in ruleset.path_ranks:
        rank, parameter = ruleset.path_ranks[name]
        rank += _AFTER_ALIASES
        return meaning_of(parameter, ruleset)._replace(core_rank=rank, exact_rank=rank)
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


def _find_core(name: str, folded: str, ruleset: Ruleset) -> tuple[int, int]:
    """Returns index and rank of the core field that a name fills; (-1, 0) for none."""
    index, rank = _find(folded, [_fold_all(field.accepted) for field in ruleset.core_fields])
    is_exact_only = ruleset.email_identity == "exact" and index >= 0 and ruleset.core_fields[index].name == "email"
    if is_exact_only and name not in ruleset.core_fields[index].accepted:
        return -1, 0
    return index, rank


def _find(name: str, fields: list[tuple[str, ...]]) -> tuple[int, int]:
    """Returns the index of the first field that accepts a name, and the name's rank there; (-1, 0) for none."""
    for index, accepted in enumerate(fields):
        if name in accepted:
            return index, accepted.index(name)
    return -1, 0


def _fold_all(accepted: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the distinct folded names in order."""
    return tuple(dict.fromkeys(fold(name) for name in accepted))


def _find_container(name: str, ruleset: Ruleset) -> int:
    """Returns the index of a name among the accepted names of an items array, -1 for none."""
    accepted = ruleset.item_containers.accepted
    if ruleset.items_names == "exact":
        return accepted.index(name) if name in accepted else -1
    folded = [fold(container) for container in accepted]
    return folded.index(fold(name)) if fold(name) in folded else -1


def _find_near_miss(name: str, ruleset: Ruleset) -> str | None:
    """Returns the accepted name that was probably meant (rules 2.6).

    It is the name behind `amp;`, or else a name of the same folded form, or else one within one edit: of folded names
    for core fields and items, of names as spelled for exact names.
    """
    escaped = _ESCAPED.match(name)
    if escaped and meaning_of(name[escaped.end() :], ruleset).is_recognised:
        return name[escaped.end() :]
    folded = fold(name)
    exact = [accepted for field in ruleset.exact_fields for accepted in field.accepted]
    folding = [accepted for field in (*ruleset.core_fields, ruleset.item_containers) for accepted in field.accepted]
    for accepted in exact:
        if fold(accepted) == folded:
            return accepted
    for form, names in ((folded, [(fold(one), one) for one in folding]), (name, [(one, one) for one in exact])):
        for known, accepted in names:
            if len(known) >= 5 and is_within_one_edit(form, known):
                return accepted
    return None


def is_within_one_edit(left: str, right: str) -> bool:
    """Returns whether two texts are equal or differ by one insertion, deletion or substitution."""
    if len(left) > len(right):
        left, right = right, left
    if len(right) - len(left) > 1:
        return False
    same = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), len(left))
    return left[same + (len(left) == len(right)) :] == right[same + 1 :]
