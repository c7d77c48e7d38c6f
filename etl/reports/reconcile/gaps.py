"""Counts and money by day on both sides, the gap between them, and the shift of their times that explains it best."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, NamedTuple

import polars as pl

from etl.schema import SUMMABLE

#: Bands of a gap: up to so large a share, and what it is called.
BANDS: Final = ((0.02, "within 2 %"), (0.05, "2 to 5 %"), (None, "over 5 %"))

_HALF_HOUR: Final = timedelta(minutes=30)
#: The zones of the earth lie within so many half hours of each other.
_MAX_HALF_HOURS: Final = 28
#: A shift is named if it explains so much of what the days differ by, or so many pairs are that far apart.
_LEAST_EXPLAINED_SHARE: Final = 0.5
#: Fewer rows of a side, or pairs, may be far apart by chance.
_LEAST_ROWS: Final = 20
_LEAST_PAIRED_SHARE: Final = 0.8


class Shift(NamedTuple):
    """How far their times are ahead of ours.

    Attributes:
        hours: Whole or half.
        differing: By how many conversions the days differ as they are, all days together.
        left: By how many they differ without the shift.
        paired: The share of the rows matched by an id that are so far apart; null where there are too few.
    """

    hours: float
    differing: int
    left: int
    paired: float | None


def compare_days(ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """One row a day: day, ours, theirs (Int64), gap (share of theirs), band.

    Args:
        ours: With `day`.
        theirs: Likewise.
    """
    return _compare(_counts(ours, "day"), _counts(theirs, "day"), ("day",))


def compare_money(ours: pl.DataFrame, theirs: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """One row a combination of keys: the keys, ours, theirs (Decimal), gap, band.

    Args:
        ours: With the keys and `value`.
        theirs: Likewise.
        *keys: `currency`, and `day` before it.
    """
    return _compare(_sums(ours, *keys), _sums(theirs, *keys), keys)


def compare_counts(ours: int, theirs: int) -> pl.DataFrame:
    """One row: ours, theirs (Int64), gap, band."""
    sides = [pl.DataFrame({"whole": ["conversions"], "count": [count]}) for count in (ours, theirs)]
    return _compare(sides[0], sides[1], ("whole",)).drop("whole")


def find_shift(ours: pl.DataFrame, theirs: pl.DataFrame, apart: pl.Series, zone: str) -> Shift | None:
    """How far their times are ahead, where that explains what the days differ by, or the pairs say so; else None.

    The first and the last day do not count: a shift moves rows over their edge.

    Args:
        ours: With `at`, a day more on either side than theirs.
        theirs: With `at`.
        apart: Duration of theirs after ours of the rows that an id matches.
        zone: Whose days are compared.
    """
    by_day = _days_by_shift(ours, theirs, zone)
    differing, left, steps = by_day[0], *min((by_day[step], abs(step), step) for step in by_day)[::2]
    paired = (apart.cast(pl.Int64) / 1e6 / _HALF_HOUR.total_seconds()).round().cast(pl.Int64)
    if len(paired) >= _LEAST_ROWS:
        steps = int(paired.mode().sort()[0])
        share = int((paired == steps).sum()) / len(paired)
        is_certain = share >= _LEAST_PAIRED_SHARE and steps != 0 and abs(steps) <= _MAX_HALF_HOURS
        return Shift(steps / 2, differing, by_day[steps], share) if is_certain else None
    is_certain = (
        min(ours.height, theirs.height) >= _LEAST_ROWS
        and steps != 0
        and left <= (1 - _LEAST_EXPLAINED_SHARE) * differing
    )
    return Shift(steps / 2, differing, left, None) if is_certain else None


def _days_by_shift(ours: pl.DataFrame, theirs: pl.DataFrame, zone: str) -> dict[int, int]:
    """By how much the days differ if their times are so many half hours earlier."""
    bins = (
        theirs.drop_nulls("at").group_by(pl.col("at").dt.truncate("30m")).agg(pl.len().cast(pl.Int64).alias("theirs"))
    )
    our_days = ours.drop_nulls("at").group_by(day=_day(pl.col("at"), zone)).agg(pl.len().cast(pl.Int64).alias("ours"))
    whole = bins.select(_day(pl.col("at"), zone).alias("day"))["day"].unique().sort()
    inner = whole[1:-1] if len(whole) > 2 else whole
    differing: dict[int, int] = {}
    for steps in range(-_MAX_HALF_HOURS, _MAX_HALF_HOURS + 1):
        moved = bins.group_by(day=_day(pl.col("at") - steps * _HALF_HOUR, zone)).agg(pl.col("theirs").sum())
        both = moved.join(our_days, on="day", how="full", coalesce=True).filter(pl.col("day").is_in(inner.implode()))
        differing[steps] = int(
            both.select((pl.col("ours").fill_null(0) - pl.col("theirs").fill_null(0)).abs().sum()).item()
        )
    return differing


def _day(at: pl.Expr, zone: str) -> pl.Expr:
    return at.dt.convert_time_zone(zone).dt.date()


def with_days(rows: pl.DataFrame, zone: str) -> pl.DataFrame:
    """The rows with the `day` of their `at` in a zone."""
    return rows.with_columns(day=_day(pl.col("at"), zone))


def in_period(rows: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """The rows whose `day` is one of a period."""
    return rows.filter(pl.col("day").is_between(first, last))


def _counts(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    return rows.group_by(key).agg(pl.len().cast(pl.Int64).alias("count"))


def _sums(rows: pl.DataFrame, *keys: str) -> pl.DataFrame:
    return rows.filter(pl.col("value").abs() < SUMMABLE).group_by(keys).agg(pl.col("value").sum().alias("count"))


def _compare(ours: pl.DataFrame, theirs: pl.DataFrame, keys: tuple[str, ...]) -> pl.DataFrame:
    both = ours.rename({"count": "ours"}).join(
        theirs.rename({"count": "theirs"}), on=list(keys), how="full", coalesce=True, nulls_equal=True
    )
    gap = (pl.col("ours").cast(pl.Float64) - pl.col("theirs").cast(pl.Float64)) / pl.col("theirs").cast(pl.Float64)
    bands = [pl.when(pl.col("gap").abs() <= most).then(pl.lit(name)) for most, name in BANDS if most is not None]
    return (
        both.with_columns(pl.col("ours", "theirs").fill_null(0))
        .with_columns(gap=pl.when(pl.col("theirs") != 0).then(gap))
        .with_columns(
            band=pl.when(pl.col("gap").is_null() & (pl.col("ours") != 0))
            .then(pl.lit("ours alone"))
            .otherwise(pl.coalesce(*bands, pl.when(pl.col("gap").is_not_null()).then(pl.lit(BANDS[-1][1]))))
        )
        .sort(keys, nulls_last=True)
    )
