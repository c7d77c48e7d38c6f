"""Parameters to fields: which parameter fills which field, which ones lost, which nobody reads (semantics 2)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from etl import spec
from etl.ruleset import Ruleset, fold

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
        texts: One row a postback; for every field the winning text, as sent, null where none was sent.
        params: The same shape: the winning parameter's name, as spelled.
        conflicts: row, field, winner, losers (names, joined): semantics 2.3.
        structures: row, name: a recognised field sent as object or array, hence absent (semantics 1.5).
        near_misses: row, name, near_miss (semantics 2.6).
        unrecognised: name, count.
        meanings: Aligned with the parameters: what each name means.
        is_sent: Aligned with the parameters: not empty (semantics 1.6).
    """

    texts: pl.DataFrame
    params: pl.DataFrame
    conflicts: pl.DataFrame
    structures: pl.DataFrame
    near_misses: pl.DataFrame
    unrecognised: pl.DataFrame
    meanings: pl.DataFrame
    is_sent: pl.Series


def resolve_aliases(params: pl.DataFrame, height: int, ruleset: Ruleset) -> Fields:
    """The one value of each field of each postback.

    The alias that stands first in the page's list wins, or with `alias_order = "payload"` the first in the request;
    among spellings and repetitions of one alias the first that is not empty.

    Args:
        params: Rows of `schema.PARAMS`.
        height: How many postbacks there are.
        ruleset: The rules.
    """
    meanings = _meanings(params["name"], ruleset)
    values = params["value"]
    is_sent = params["is_structure"] | (values.str.strip_chars() != "")
    is_text = is_sent & ~params["is_structure"]
    rows = params["row"].to_numpy().astype(np.int64)
    core_rank = meanings["core_rank"] if ruleset.alias_order == "listed" else meanings["core_rank"] * 0
    candidates = _Candidates.of(
        (meanings["core"], core_rank, 0),
        (meanings["exact"], meanings["exact_rank"], len(ruleset.core_fields)),
        is_text,
    )
    names = field_columns(ruleset)
    cells = candidates.fields * height + rows[candidates.params]
    winners = candidates.winners(cells, len(names) * height)
    by_field = {name: _index(winners[i * height : (i + 1) * height]) for i, name in enumerate(names)}
    is_field = (meanings["core"] >= 0) | (meanings["exact"] >= 0)
    is_bracket_in_json = params["is_json"] & meanings["bracket_index"].is_not_null()
    is_unread = is_sent & (~meanings["is_recognised"] | is_bracket_in_json)
    described = params.select("row", "name").with_columns(meanings["near_miss"])
    return Fields(
        texts=pl.DataFrame({name: values.gather(index) for name, index in by_field.items()}),
        params=pl.DataFrame({name: params["name"].gather(index) for name, index in by_field.items()}),
        conflicts=_conflicts(params, candidates, winners[cells], names),
        structures=params.filter(params["is_structure"] & is_field).select("row", "name"),
        near_misses=described.filter(is_unread & meanings["near_miss"].is_not_null()).unique(maintain_order=True),
        unrecognised=params.filter(is_unread).group_by("name").agg(pl.len().cast(pl.Int64).alias("count")),
        meanings=meanings,
        is_sent=is_sent,
    )


def field_columns(ruleset: Ruleset) -> list[str]:
    """The columns of `Fields.texts`: the core fields, then those matched exactly."""
    core = [IDENTITY_EMAIL if field.name == "email" else field.name for field in ruleset.core_fields]
    return core + [field.name for field in ruleset.exact_fields]


class _Candidates(NamedTuple):
    """Pairs of a parameter and a field it could fill, in the request's order within a field."""

    params: npt.NDArray[np.int64]
    fields: npt.NDArray[np.int64]
    ranks: npt.NDArray[np.int16]

    @classmethod
    def of(
        cls,
        core: tuple[pl.Series, pl.Series, int],
        exact: tuple[pl.Series, pl.Series, int],
        is_text: pl.Series,
    ) -> _Candidates:
        parts = []
        for field, rank, first in (core, exact):
            index = np.flatnonzero((is_text & (field >= 0)).to_numpy())
            parts.append((index, field.to_numpy()[index].astype(np.int64) + first, rank.to_numpy()[index]))
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def winners(self, cells: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
        """For each cell (field, postback) the parameter that fills it, or -1.

        numpy lets the last of several assignments to one place stand, so the best candidate is assigned last.
        """
        worst_first = np.argsort(-self.ranks[::-1], kind="stable")
        winners = np.full(size, -1, np.int64)
        winners[cells[::-1][worst_first]] = self.params[::-1][worst_first]
        return winners


def _conflicts(
    params: pl.DataFrame, candidates: _Candidates, winners: npt.NDArray[np.int64], names: list[str]
) -> pl.DataFrame:
    """Fields that several non-empty parameters of different text could have filled (semantics 2.3)."""
    is_loser = candidates.params != winners
    losers = pl.Series(candidates.params[is_loser])
    winning = pl.Series(winners[is_loser])
    fields = pl.Series(names, dtype=pl.String).gather(pl.Series(candidates.fields[is_loser]))
    return (
        pl.DataFrame(
            {
                "row": params["row"].gather(losers),
                "field": fields.replace(IDENTITY_EMAIL, "email"),
                "winner": params["name"].gather(winning),
                "loser": params["name"].gather(losers),
                "differs": params["value"].gather(losers) != params["value"].gather(winning),
            }
        )
        .filter("differs")
        .group_by("row", "field", maintain_order=True)
        .agg(pl.col("winner").first(), pl.col("loser").unique(maintain_order=True).str.join(", ").alias("losers"))
    )


def _index(winners: npt.NDArray[np.int64]) -> pl.Series:
    index = pl.Series(winners)
    return index.set(index < 0, None)


def _meanings(names: pl.Series, ruleset: Ruleset) -> pl.DataFrame:
    distinct = names.unique(maintain_order=True)
    found = [meaning_of(name, ruleset) for name in distinct]
    meanings = pl.DataFrame(
        [(*meaning, meaning.is_recognised) for meaning in found], schema=_NAMES_SCHEMA, orient="row"
    )
    index = pl.Series(range(len(distinct)), dtype=pl.UInt32)
    return meanings[names.replace_strict(distinct, index, return_dtype=pl.UInt32)] if len(distinct) else meanings


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
