"""Parameters to fields: which parameter fills which field, which ones lost, which nobody reads (rules 2)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.columnar.string_buffers import Positions, Truths, is_blank
from etl.rules.parameter_names import meanings_of
from etl.rules.ruleset import Ruleset
from etl.transform.parameter_table import Pairs

#: The e-mail address is an identity by folded name and a trait by exact name (rules 2.5): two columns.
IDENTITY_EMAIL: Final = "identity_email"


class Fields(NamedTuple):
    """What the parameters of a batch of postbacks fill.

    Attributes:
        params: The parameters.
        texts: One row a postback; for every field the winning text, as sent, null where none was sent.
        winners: Field -> index of the parameter that fills it, one a postback; -1 where none was sent.
        conflicts: row, field, winner, losers (names, joined): rules 2.3.
        structures: row, parameter: a recognised field sent as object or array, hence absent (rules 1.5).
        near_misses: row, name, near_miss (rules 2.6).
        unrecognised: name, count.
        meanings: What each distinct name means: `Meaning` as columns, and `is_recognised`.
        is_sent: Aligned with the parameters: not empty (rules 1.6).
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
    meanings = meanings_of(params.names, ruleset)
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
    """Fields that several non-empty parameters of different text could have filled (rules 2.3)."""
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
