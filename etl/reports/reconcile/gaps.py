"""Compares counts and money of both sides by day, and finds the shift of their times that explains the gaps best."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, NamedTuple

import polars as pl

from etl.schema import SUMMABLE

#: Bands of a gap: the largest share in the band, and its name.
BANDS: Final = ((0.02, "within 2 %"), (0.05, "2 to 5 %"), (None, "over 5 %"))

_HALF_HOUR: Final = timedelta(minutes=30)
#: The largest shift that is tried, in half hours.
_MAX_HALF_HOURS: Final = 28
#: A shift is reported if it explains at least this share of the differences between days.
_LEAST_EXPLAINED_SHARE: Final = 0.5
#: With fewer rows on a side, or fewer pairs, a shift may be chance.
_LEAST_ROWS: Final = 20
#: With enough pairs, a shift is reported if at least this share of them has it.
_LEAST_PAIRED_SHARE: Final = 0.8


class Shift(NamedTuple):
    """How far their times are ahead of ours.

    Attributes:
        hours: Whole or half hours; negative if their times are behind ours.
        differing: The sum over all days of the difference in conversions, without a correction.
        left: The same sum after the shift is corrected.
        paired: The share of pairs matched by an id that have this shift; None if there are too few pairs.
    """

    hours: float
    differing: int
    left: int
    paired: float | None


def compare_days(ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Compares the counts of both sides by day.

    Args:
        ours: Rows with `day`.
        theirs: Rows with `day`.

    Returns:
        day, ours, theirs (Int64), gap (share of theirs), band.
    """
    return _compare(_counts(ours, "day"), _counts(theirs, "day"), ("day",))


def compare_money(ours: pl.DataFrame, theirs: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Compares the sums of values of both sides by keys.

    Args:
        ours: Rows with the keys and `value`.
        theirs: Rows with the keys and `value`.
        *keys: `currency`, or `day` and `currency`.

    Returns:
        The keys, ours, theirs (Decimal), gap (share of theirs), band.
    """
    return _compare(_sums(ours, *keys), _sums(theirs, *keys), keys)


def sum_events(ours: pl.DataFrame) -> pl.DataFrame:
    """Counts and sums our rows with a value by event and currency: event, currency, conversions, ours (Decimal)."""
    rows = ours.filter(pl.col("value").abs() < SUMMABLE)
    sums = rows.group_by("event", "currency").agg(
        pl.len().cast(pl.Int64).alias("conversions"), pl.col("value").sum().alias("ours")
    )
    return sums.sort("event", "currency", nulls_last=True)


def compare_counts(ours: int, theirs: int) -> pl.DataFrame:
    """Compares two counts in one row: ours, theirs (Int64), gap (share of theirs), band."""
    sides = [pl.DataFrame({"whole": ["conversions"], "count": [count]}) for count in (ours, theirs)]
    return _compare(sides[0], sides[1], ("whole",)).drop("whole")


def find_shift(ours: pl.DataFrame, theirs: pl.DataFrame, apart: pl.Series, zone: str) -> Shift | None:
    """Finds how far their times are ahead of ours; None if no shift is certain.

    With enough pairs, the shift is the most frequent difference between their times. With fewer pairs, it is the shift
    that makes the days agree best. The first and the last day do not count, because a shift moves rows over their edge.

    Args:
        ours: Rows with `at`, from at least a day before theirs to a day after theirs.
        theirs: Rows with `at`.
        apart: Their time minus our time, for the pairs that an id matches.
        zone: IANA name of the time zone of days.
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
    """Sums the differences between days for each shift, in half hours by which their times are moved back."""
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
    """Adds the `day` of `at` in a time zone."""
    return rows.with_columns(day=_day(pl.col("at"), zone))


def in_period(rows: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """Keeps the rows whose `day` is in a period."""
    return rows.filter(pl.col("day").is_between(first, last))


def _counts(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    return rows.group_by(key).agg(pl.len().cast(pl.Int64).alias("count"))


def _sums(rows: pl.DataFrame, *keys: str) -> pl.DataFrame:
    return rows.filter(pl.col("value").abs() < SUMMABLE).group_by(keys).agg(pl.col("value").sum().alias("count"))


def _compare(ours: pl.DataFrame, theirs: pl.DataFrame, keys: tuple[str, ...]) -> pl.DataFrame:
    """Joins the `count` of both sides by keys, and adds gap and band; a missing count is 0."""
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
