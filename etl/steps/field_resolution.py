"""Resolves aliases: decides which parameter fills each field, and reports conflicts and unread parameters (rules 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.columnar.string_buffers import Positions, Truths, gather_or_null, is_blank
from etl.privacy import trait_hashes
from etl.rules import placeholders
from etl.rules.parameter_names import meanings_of
from etl.rules.ruleset import Ruleset
from etl.steps.parameter_table import Params

#: The e-mail address is an identity by folded name and a trait by exact name (rules 2.5): two columns.
IDENTITY_EMAIL: Final = "identity_email"

_NO_CONFLICTS: Final = pl.DataFrame(
    schema={"row": pl.UInt32, "field": pl.String, "winner": pl.String, "losers": pl.String}
)
_FALSE: Final = pl.Series([False])


class Fields(NamedTuple):
    """The fields of a batch of postbacks, filled from their parameters.

    Attributes:
        params: The parameters.
        texts: One row for each postback, one column for each field: the winning text as sent, or null.
        winners: For each field an array with one element for each postback: the index of the parameter that fills the
            field, or -1.
        conflicts: Fields that several parameters could fill: row, field, winner, losers (names, joined; rules 2.3).
        structures: Fields sent as an object or array, which count as not sent: row, parameter (rules 1.5).
        near_misses: Unread parameters whose name is close to an accepted name: row, name, near_miss (rules 2.6).
        unread: For each parameter that was sent and that no rule reads, its index (rules 2.6).
        meanings: One row for each distinct name: the attributes of `Meaning`, and `is_recognised`.
        is_sent: For each parameter whether its value is not blank (rules 1.6).
        junk: Issue code -> for each parameter, and at last for none, whether its value is such junk (rules 3.2). A code
            that no value has is absent.
    """

    params: Params
    texts: pl.DataFrame
    winners: dict[str, Positions]
    conflicts: pl.DataFrame
    structures: pl.DataFrame
    near_misses: pl.DataFrame
    unread: Positions
    meanings: pl.DataFrame
    is_sent: Truths
    junk: dict[str, Truths]

    def is_junk(self, code: str, field: str) -> pl.Series:
        """Returns for each postback whether the value that fills a field is junk of one kind."""
        truths, winners = self.junk.get(code), self.winners[field]
        return _FALSE.new_from_index(0, len(winners)) if truths is None else pl.Series(truths[winners])

    def param_names(self, field: str) -> pl.Series:
        """Returns for each postback the name, as spelled, of the parameter that fills a field; null for none."""
        return self.names_at(self.winners[field]).alias(field)

    def names_at(self, index: Positions) -> pl.Series:
        """Returns the names, as spelled, of the parameters at `index`; null for -1."""
        return gather_or_null(self.params.names, np.append(self.params.numbers, -1)[index])

    def meaning(self, column: str) -> npt.NDArray[Any]:
        """Returns a column of `meanings` for each parameter."""
        return self.meanings[column].to_numpy()[self.params.numbers]

    def count_unread(self, digests: pl.Series) -> pl.DataFrame:
        """Counts the unread parameters of each input by name: source_digest, name, count.

        Args:
            digests: For each postback the digest of its input.
        """
        runs = digests.rle_id().to_numpy().astype(np.int64)
        rows, numbers = self.params.rows[self.unread], self.params.numbers[self.unread]
        names = self.params.names
        if len(runs) and not runs[-1]:  # an input of its own, as most are
            counts = np.bincount(numbers, minlength=len(names))
            found = np.flatnonzero(counts)
            firsts, counts = np.zeros(len(found), np.int64), counts[found]
        else:
            cells, places, counts = np.unique(
                runs[rows] * max(len(names), 1) + numbers, return_index=True, return_counts=True
            )
            firsts, found = rows[places], cells % max(len(names), 1)
        return pl.DataFrame(
            {"source_digest": digests.gather(firsts), "name": names.gather(found), "count": counts.astype(np.int64)}
        )

    def filter(self, is_wanted: pl.Series) -> Self:
        """Returns the fields with `texts` and `winners` filtered to some postbacks; all else stays unfiltered."""
        truths = is_wanted.to_numpy()
        winners = {field: winners[truths] for field, winners in self.winners.items()}
        return self._replace(texts=self.texts.filter(is_wanted), winners=winners)


def resolve_aliases(params: Params, height: int, ruleset: Ruleset) -> Fields:
    """Chooses the parameter that fills each field of each postback.

    The alias that comes first in the page's list wins; with `alias_order = "payload"`, the alias that comes first in
    the request. Among spellings and repetitions of one alias, the first non-empty parameter wins.

    Args:
        params: The parameters.
        height: Number of postbacks.
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
    by_field = {name: winners[i * height : (i + 1) * height] for i, name in enumerate(names)}
    texts = gather_or_null(params.values, winners)
    return Fields(
        params=params,
        texts=pl.DataFrame([texts[i * height : (i + 1) * height].alias(name) for i, name in enumerate(names)]),
        winners=by_field,
        conflicts=_conflicts(params, candidates.at(contested), winners[cells[contested]], names, ruleset),
        structures=params.frame(structures).select("row", parameter="name"),
        near_misses=params.frame(near)
        .select("row", "name", near_miss=meanings["near_miss"].gather(params.numbers[near]))
        .unique(maintain_order=True),
        unread=np.flatnonzero(is_unread),
        meanings=meanings,
        is_sent=is_sent,
        junk={code: np.append(truths, False) for code, truths in _find_junk(params.values, by_field) if truths.any()},
    )


def _find_junk(values: pl.Series, winners: dict[str, Positions]) -> Iterator[tuple[str, Truths]]:
    """Yields issue codes, and for each parameter whether its value is such junk where it fills a field (rules 3.2)."""
    yield from placeholders.find_junk(values).items()
    for trait, fields in (("email", ("email", IDENTITY_EMAIL)), ("phone", ("phone",))):
        is_used = np.zeros(len(values) + 1, np.bool_)
        for field in fields:
            is_used[winners[field]] = True
        index, unusable = np.flatnonzero(is_used[:-1]), np.zeros(len(values), np.bool_)
        if not len(index):
            continue
        unusable[index] = ~trait_hashes.are_usable(trait, values.gather(index)).to_numpy()
        yield f"unusable_{trait}", unusable


def field_columns(ruleset: Ruleset) -> list[str]:
    """Returns the names of the fields in `Fields.winners`: the core fields, then the exactly matched fields."""
    core = [IDENTITY_EMAIL if field.name == "email" else field.name for field in ruleset.core_fields]
    return core + [field.name for field in ruleset.exact_fields]


class _Candidates(NamedTuple):
    """Pairs of a parameter and a field it could fill; for each field in the order of the request.

    Attributes:
        params: Index of the parameter.
        fields: Index of the field in `field_columns`.
        ranks: Precedence of the parameter's name; 0 is the highest.
    """

    params: Positions
    fields: Positions
    ranks: Positions

    @classmethod
    def of(cls, params: Params, meanings: pl.DataFrame, is_text: Truths, ruleset: Ruleset) -> Self:
        """Lists the candidates among the parameters for which `is_text` is true."""
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
        """Returns the candidates at `index`."""
        return type(self)(*(array[index] for array in self))

    def resolve(self, cells: Positions, size: int) -> tuple[Positions, Positions]:
        """Chooses the winning parameter of each cell (a field of a postback).

        Where numpy assigns several values to one element, the last value remains, so the best candidate is assigned
        last: the first in the request, or in contested cells the first of the best rank.

        Args:
            cells: The cell of each candidate.
            size: Number of cells.

        Returns:
            For each cell the index of the winning parameter, or -1; and the indices of the candidates in cells with
            several candidates.
        """
        winners = np.full(size, -1, np.int64)
        winners[cells[::-1]] = self.params[::-1]
        is_contested = np.zeros(size, np.bool_)
        is_contested[cells[winners[cells] != self.params]] = True
        contested = np.flatnonzero(is_contested[cells])
        worst_first = contested[::-1][np.argsort(-self.ranks[contested[::-1]], kind="stable")]
        winners[cells[worst_first]] = self.params[worst_first]
        return winners, contested


def _conflicts(
    params: Params, candidates: _Candidates, winners: Positions, names: list[str], ruleset: Ruleset
) -> pl.DataFrame:
    """Returns the fields that several non-empty parameters with different texts could fill (rules 2.3).

    Two paths of the ruleset do not conflict: the ruleset says which of them is read where both lead to a value.
    """
    if not len(winners):
        return _NO_CONFLICTS
    is_path = np.array([name in ruleset.path_ranks for name in params.names], np.bool_)[params.numbers]
    is_loser = (candidates.params != winners) & ~(is_path[winners] & is_path[candidates.params])
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
