"""Parameters to fields: which parameter fills which field, which ones lost, which nobody reads (semantics 2)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from etl import spec
from etl.pairs import Pairs
from etl.ruleset import Ruleset, fold
from etl.spans import Positions, Truths, is_blank

#: The e-mail address is an identity by folded name and a trait by exact name (semantics 2.5): two columns.
IDENTITY_EMAIL: Final = "identity_email"

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


class Fields(NamedTuple):
    """What the parameters of a batch of postbacks fill.

    Attributes:
        params: The parameters.
        texts: One row a postback; for every field the winning text, as sent, null where none was sent.
        winners: Field -> index of the parameter that fills it, one a postback; -1 where none was sent.
        conflicts: row, field, winner, losers (names, joined): semantics 2.3.
        structures: row, parameter: a recognised field sent as object or array, hence absent (semantics 1.5).
        near_misses: row, name, near_miss (semantics 2.6).
        unrecognised: name, count.
        meanings: What each distinct name means: `Meaning` as columns, and `is_recognised`.
        is_sent: Aligned with the parameters: not empty (semantics 1.6).
    """

    params: Pairs
    texts: pl.DataFrame
    winners: dict[str, Positions]
    conflicts: pl.DataFrame
    structures: pl.DataFrame
    near_misses: pl.DataFrame
    unrecognised: pl.DataFrame
    meanings: pl.DataFrame
    is_sent: Truths

    def param(self, field: str) -> pl.Series:
        """The name of the parameter that fills a field, as spelled; null where none was sent."""
        return self.names_at(self.winners[field]).alias(field)

    def names_at(self, index: Positions) -> pl.Series:
        """The names of some parameters, as spelled; null for -1."""
        return _with_null(self.params.names)[np.append(self.params.numbers, -1)[index]]

    def meaning(self, column: str) -> npt.NDArray[Any]:
        """A column of the meanings, aligned with the parameters."""
        return self.meanings[column].to_numpy()[self.params.numbers]

    def of(self, is_wanted: pl.Series) -> Self:
        """The fields of some postbacks only; all else stays."""
        truths = is_wanted.to_numpy()
        winners = {field: winners[truths] for field, winners in self.winners.items()}
        return self._replace(texts=self.texts.filter(is_wanted), winners=winners)


def resolve_aliases(params: Pairs, height: int, ruleset: Ruleset) -> Fields:
    """The one value of each field of each postback.

    The alias that stands first in the page's list wins, or with `alias_order = "payload"` the first in the request;
    among spellings and repetitions of one alias the first that is not empty.

    Args:
        params: The parameters.
        height: How many postbacks there are.
        ruleset: The rules.
    """
    meanings = _meanings(params.names, ruleset)
    is_sent = params.is_structure | ~is_blank(params.values)
    candidates = _Candidates.of(params, meanings, is_sent & ~params.is_structure, ruleset)
    names = field_columns(ruleset)
    cells = candidates.fields * height + params.rows[candidates.params]
    winners, contested = candidates.resolve(cells, len(names) * height)
    is_field = ((meanings["core"] >= 0) | (meanings["exact"] >= 0)).to_numpy()
    is_recognised, is_bracket, is_near = (
        truth.to_numpy()[params.numbers]
        for truth in (
            meanings["is_recognised"],
            meanings["bracket_index"].is_not_null(),
            meanings["near_miss"].is_not_null(),
        )
    )
    is_unread = is_sent & (~is_recognised | (params.is_json & is_bracket))
    structures = np.flatnonzero(params.is_structure & is_field[params.numbers])
    near = np.flatnonzero(is_unread & is_near)
    counts = pl.Series("count", np.bincount(params.numbers[is_unread], minlength=len(params.names)), dtype=pl.Int64)
    by_field = {name: winners[i * height : (i + 1) * height] for i, name in enumerate(names)}
    values = _with_null(params.values)
    return Fields(
        params=params,
        texts=pl.DataFrame([values[index].alias(name) for name, index in by_field.items()]),
        winners=by_field,
        conflicts=_conflicts(params, candidates.at(contested), winners[cells[contested]], names),
        structures=params.frame(structures).select("row", parameter="name"),
        near_misses=params.frame(near)
        .select("row", "name", near_miss=meanings["near_miss"].gather(params.numbers[near]))
        .unique(maintain_order=True),
        unrecognised=pl.DataFrame([params.names.alias("name"), counts]).filter(counts > 0),
        meanings=meanings,
        is_sent=is_sent,
    )


def field_columns(ruleset: Ruleset) -> list[str]:
    """The fields of `Fields.winners`: the core fields, then those matched exactly."""
    core = [IDENTITY_EMAIL if field.name == "email" else field.name for field in ruleset.core_fields]
    return core + [field.name for field in ruleset.exact_fields]


class _Candidates(NamedTuple):
    """Pairs of a parameter and a field it could fill, in the request's order within a field."""

    params: Positions
    fields: Positions
    ranks: Positions

    @classmethod
    def of(cls, params: Pairs, meanings: pl.DataFrame, is_text: Truths, ruleset: Ruleset) -> Self:
        parts = []
        for kind, first in (("core", 0), ("exact", len(ruleset.core_fields))):
            fields = meanings[kind].to_numpy().astype(np.int64)
            ranks = meanings[f"{kind}_rank"].to_numpy().astype(np.int64)
            index = np.flatnonzero(is_text & (fields >= 0)[params.numbers])
            numbers = params.numbers[index]
            is_ranked = kind == "exact" or ruleset.alias_order == "listed"
            parts.append((index, fields[numbers] + first, ranks[numbers] * is_ranked))
        places, found, ranks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return cls(places, found, ranks)

    def at(self, index: Positions) -> Self:
        return type(self)(*(array[index] for array in self))

    def resolve(self, cells: Positions, size: int) -> tuple[Positions, Positions]:
        """For each cell (field, postback) the parameter that fills it, or -1; and the candidates for contested cells.

        numpy lets the last of several assignments to one place stand, so the best candidate is assigned last: the
        first in the request's order, but in contested cells the first of the best rank.
        """
        winners = np.full(size, -1, np.int64)
        winners[cells[::-1]] = self.params[::-1]
        is_contested = np.zeros(size, np.bool_)
        is_contested[cells[winners[cells] != self.params]] = True
        contested = np.flatnonzero(is_contested[cells])
        worst_first = contested[::-1][np.argsort(-self.ranks[contested[::-1]], kind="stable")]
        winners[cells[worst_first]] = self.params[worst_first]
        return winners, contested


def _conflicts(params: Pairs, candidates: _Candidates, winners: Positions, names: list[str]) -> pl.DataFrame:
    """Fields that several non-empty parameters of different text could have filled (semantics 2.3)."""
    is_loser = candidates.params != winners
    winning, losing = params.frame(winners[is_loser]), params.frame(candidates.params[is_loser])
    fields = pl.Series(names, dtype=pl.String).gather(candidates.fields[is_loser])
    return (
        losing.select(
            "row",
            field=fields.replace(IDENTITY_EMAIL, "email"),
            winner=winning["name"],
            loser="name",
            differs=pl.col("value") != winning["value"],
        )
        .filter("differs")
        .group_by("row", "field", maintain_order=True)
        .agg(pl.col("winner").first(), pl.col("loser").unique(maintain_order=True).str.join(", ").alias("losers"))
    )


def _with_null(texts: pl.Series) -> pl.Series:
    """The texts with a null at their end, where the index -1 finds it."""
    return pl.concat([texts, pl.Series([None], dtype=texts.dtype)]).rechunk()


def _meanings(names: pl.Series, ruleset: Ruleset) -> pl.DataFrame:
    found = (meaning_of(name, ruleset) for name in names)
    return pl.DataFrame([(*meaning, meaning.is_recognised) for meaning in found], schema=_NAMES_SCHEMA, orient="row")


@lru_cache(maxsize=65_536)
def meaning_of(name: str, ruleset: Ruleset) -> Meaning:
    """What a parameter name means under a ruleset.

    Source: semantics 2.1 to 2.6, 7.4, 8.1.

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
    is_passthrough = name.startswith(spec.PASSTHROUGH_PREFIX) and name != spec.PASSTHROUGH_PREFIX
    meaning = Meaning(
        core,
        core_rank,
        exact,
        exact_rank,
        container,
        bracket[2] if bracket and container >= 0 else None,
        bracket[3] if bracket and container >= 0 else None,
        is_passthrough,
        folded == spec.PURCHASE_ALIAS,
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
    """The known name that was probably meant: of the same fold, else within one edit (semantics 2.6)."""
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
