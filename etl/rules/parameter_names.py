"""What a parameter's name means under a ruleset: which fields it can fill, or what was probably meant (rules 2)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

import polars as pl

from etl.rules import page
from etl.rules.ruleset import Ruleset, fold

_BRACKETS: Final = re.compile(r"([^\[\]]+)\[([0-9]*)\](?:\[([^\[\]]+)\])?", re.ASCII)

#: The rank of a path's value: behind every parameter that was sent under a name of its own.
_AFTER_ALIASES: Final = 1000


class Meaning(NamedTuple):
    """What one parameter name means under a ruleset; None and -1 where it means nothing of that kind."""

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

    @property
    def is_recognised(self) -> bool:
        """Whether anything reads a parameter of this name."""
        return self.core >= 0 or self.exact >= 0 or self.container >= 0 or self.is_passthrough or self.is_path_root


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
        "is_recognised": pl.Boolean(),
    }
)


def meanings_of(names: pl.Series, ruleset: Ruleset) -> pl.DataFrame:
    """What each name means: `Meaning` as columns, and `is_recognised`."""
    found = (meaning_of(name, ruleset) for name in names)
    return pl.DataFrame([(*meaning, meaning.is_recognised) for meaning in found], schema=_NAMES_SCHEMA, orient="row")


@lru_cache(maxsize=65_536)
def meaning_of(name: str, ruleset: Ruleset) -> Meaning:
    """What a parameter name means under a ruleset.

    Source: rules 2.1 to 2.6, 7.4, 8.1.

    Examples:
        >>> meaning_of("Click-Id", Ruleset()).core, meaning_of("firstname", Ruleset()).near_miss
        (0, 'first_name')
    """
    folded = fold(name)
    core, core_rank = _find_core(name, folded, ruleset)
    exact, exact_rank = _find(name, [field.accepted for field in ruleset.exact_fields])
    bracket = _BRACKETS.fullmatch(name)
    container = _container(bracket[1] if bracket else name, ruleset)
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
    )
    return meaning if meaning.is_recognised else meaning._replace(near_miss=_near_miss(folded, ruleset))


def _find_core(name: str, folded: str, ruleset: Ruleset) -> tuple[int, int]:
    index, rank = _find(folded, [_folded(field.accepted) for field in ruleset.core_fields])
    is_exact_only = ruleset.email_identity == "exact" and index >= 0 and ruleset.core_fields[index].name == "email"
    if is_exact_only and name not in ruleset.core_fields[index].accepted:
        return -1, 0
    return index, rank


def _find(name: str, fields: list[tuple[str, ...]]) -> tuple[int, int]:
    for index, accepted in enumerate(fields):
        if name in accepted:
            return index, accepted.index(name)
    return -1, 0


def _folded(accepted: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(fold(name) for name in accepted))


def _container(name: str, ruleset: Ruleset) -> int:
    accepted = ruleset.item_containers.accepted
    if ruleset.items_names == "exact":
        return accepted.index(name) if name in accepted else -1
    folded = [fold(container) for container in accepted]
    return folded.index(fold(name)) if fold(name) in folded else -1


def _near_miss(folded: str, ruleset: Ruleset) -> str | None:
    """The known name that was probably meant: of the same fold, else within one edit (rules 2.6)."""
    exact = [name for field in ruleset.exact_fields for name in field.accepted]
    core = [name for field in ruleset.core_fields for name in field.accepted]
    for name in exact:
        if fold(name) == folded:
            return name
    for name in (*core, *exact, *ruleset.item_containers.accepted):
        if len(fold(name)) >= 5 and is_within_one_edit(folded, fold(name)):
            return name
    return None


def is_within_one_edit(left: str, right: str) -> bool:
    """Whether one insertion, deletion or substitution, or none, makes the texts equal."""
    if len(left) > len(right):
        left, right = right, left
    if len(right) - len(left) > 1:
        return False
    same = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), len(left))
    return left[same + (len(left) == len(right)) :] == right[same + 1 :]
