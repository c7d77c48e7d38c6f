"""Measures at four levels: the whole, by integration, by day, by both; from `days`, which is small."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.audit.frames import AMOUNTS, WHOSE, amounts
from etl.audit.measures import KEYS, Measure

#: The keys of each level below the whole.
LEVELS: Final[dict[str, tuple[str, ...]]] = {
    "by_integration": WHOSE,
    "by_day": ("day",),
    "by_integration_and_day": (*WHOSE, "day"),
}

#: One row a measure of the whole. share is null where nothing could be shared, money where the measure has none.
WHOLE: Final = pl.Schema(
    {"measure": pl.String(), "what": pl.String(), "count": pl.Int64(), "share": pl.Float64(), "money": AMOUNTS}
)


def measure_whole(days: pl.DataFrame, measures: tuple[Measure, ...], base: str) -> pl.DataFrame:
    """One row a measure, in their order: `WHOLE`.

    Args:
        days: Of `measures.count_days`, with the measures that answers add.
        measures: What to show.
        base: The measure that shares are of.
    """
    everything = measure_by(days.with_columns(whole=pl.lit(0)), ("whole",), measures)
    of = int(days[base].sum() or 0)

    def row(measure: Measure) -> tuple[object, ...]:
        count = int(everything[measure.name].sum())
        money = everything[f"{measure.name}_money"].to_list() if measure.has_money else [None]
        return measure.name, measure.title, count, count / of if of else None, money[0] if money else []

    return pl.DataFrame([row(measure) for measure in measures], schema=WHOLE, orient="row")


def measure_by(days: pl.DataFrame, keys: tuple[str, ...], measures: tuple[Measure, ...]) -> pl.DataFrame:
    """One row a combination of keys, in their order, the undated last.

    Returns:
        The keys, a count (Int64, 0 where there is none) of each measure, and `NAME_money` (`AMOUNTS`) where it has
        money, that of the first measure last.
    """
    names = [measure.name for measure in measures]
    money = [f"{measure.name}_money" for measure in (*measures[1:], measures[0]) if measure.has_money]
    return (
        days.group_by(*keys, "currency")
        .agg(pl.col(*names, *money).sum())
        .sort("currency")
        .group_by(*keys, maintain_order=True)
        .agg(pl.col(*names).sum().cast(pl.Int64), *(amounts(pl.col(name)).alias(name) for name in money))
        .sort(keys, nulls_last=True)
    )


def join_days(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Frames with `KEYS` and measures as one; a measure counts where it is not null."""
    days = pl.concat(parts, how="diagonal_relaxed")
    return days.select(*KEYS, pl.exclude(KEYS))
