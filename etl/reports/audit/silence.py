"""Finds hours in which an integration sent at most a tenth of its usual requests, and gaps between files (answer 7)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.tables import INTEGRATION_KEYS, Frames
from etl.runner.published_tables import read
from etl.schema import INSTANT

#: An hour can be silent only if at least this many requests are expected: by chance, 1 in 20,000 such hours has none.
LEAST_EXPECTED: Final = 10

#: An hour is silent if it has at most this share of the expected requests.
SILENT_SHARE: Final = 0.1

_SHOWN_DAYS: Final = 28
_SHOWN_INTEGRATIONS: Final = 3

#: Parts of a name that differ between files of one series: digits of rotation, and the suffix of compression.
_ROTATION_SUFFIX: Final = r"[._-]?[0-9]+|\.(?:gz|zst|bz2|xz)$"


def count_hours(frames: Frames) -> pl.DataFrame:
    """Counts requests by integration and hour, beside the number that the integration usually sends.

    The usual number is the median of the same hour on the same weekday of other weeks, or on all other days if there
    is no other week. An integration's first hour and the last hour of all are left out: they may be incomplete.

    Returns:
        account_id, integration, hour (Datetime in the zone), requests (Int64), expected (Float64, null if there are too
        few other hours), pattern (`weekday and hour`, `hour`).
    """
    columns = [*INTEGRATION_KEYS, "hour"]
    requests = pl.concat([frames.conversions.select(columns), frames.rejections.select(columns)])
    counted = read(
        requests.drop_nulls("hour").group_by(columns).agg(pl.len().cast(pl.Int64).alias("requests"))
    ).with_columns(pl.col("hour").dt.convert_time_zone("UTC"))
    last = counted["hour"].max()
    grid = (
        counted.group_by(INTEGRATION_KEYS)
        .agg(pl.col("hour").min().alias("first"))
        .with_columns(hour=pl.datetime_ranges(pl.col("first"), pl.lit(last, INSTANT), "1h", closed="none"))
        .explode("hour", empty_as_null=False)
        .drop("first")
    )
    whole = grid.join(counted, on=columns, how="left", nulls_equal=True).with_columns(
        pl.col("requests").fill_null(0), pl.col("hour").dt.convert_time_zone(frames.zone)
    )
    return _with_expectation(whole).sort(columns)


def _with_expectation(hours: pl.DataFrame) -> pl.DataFrame:
    """Adds the expected requests, and the pattern they come from, to each hour."""
    named = hours.with_columns(of_day=pl.col("hour").dt.hour(), weekday=pl.col("hour").dt.weekday())
    by_week = _median_of_others(named, (*INTEGRATION_KEYS, "weekday", "of_day"), "week")
    both = _median_of_others(by_week, (*INTEGRATION_KEYS, "of_day"), "day")
    has_weeks, has_days = pl.col("week_others") >= 1, pl.col("day_others") >= 2
    return both.select(
        *hours.columns,
        expected=pl.when(has_weeks).then("week_median").when(has_days).then("day_median"),
        pattern=pl.when(has_weeks).then(pl.lit("weekday and hour")).when(has_days).then(pl.lit("hour")),
    )


def _median_of_others(hours: pl.DataFrame, keys: tuple[str, ...], name: str) -> pl.DataFrame:
    """Adds how many other hours have the same keys (`NAME_others`), and the median of their requests (`NAME_median`).

    In a sorted group without the row at `place`, the rows from `place` on move up by one.
    """
    placed = hours.sort(*keys, "requests", "hour").with_columns(
        place=pl.int_range(pl.len()).over(keys), others=pl.len().over(keys).cast(pl.Int64) - 1
    )
    sorted_requests = placed.select(*keys, "place", at="requests")
    for side, middle in (("lower", (pl.col("others") - 1) // 2), ("upper", pl.col("others") // 2)):
        at = sorted_requests.rename({"place": side, "at": f"{side}_requests"})
        placed = placed.with_columns((middle + (middle >= pl.col("place"))).alias(side)).join(
            at, on=[*keys, side], how="left", nulls_equal=True
        )
    median = (pl.col("lower_requests") + pl.col("upper_requests")) / 2
    columns = [*hours.columns, pl.col("others").alias(f"{name}_others"), median.alias(f"{name}_median")]
    return placed.select(columns)


def is_silent() -> pl.Expr:
    """Whether an hour of `count_hours` is silent."""
    return (pl.col("expected") >= LEAST_EXPECTED) & (pl.col("requests") <= SILENT_SHARE * pl.col("expected"))


def find_silent_spans(hours: pl.DataFrame) -> pl.DataFrame:
    """Joins consecutive silent hours of an integration to spans.

    Returns:
        account_id, integration, since, until, hours, requests, expected; the span with most expected requests first.
    """
    silent = hours.filter(is_silent()).with_columns(
        span=(pl.col("hour").diff() != pl.duration(hours=1)).fill_null(value=True).cum_sum().over(INTEGRATION_KEYS)
    )
    return (
        silent.group_by(*INTEGRATION_KEYS, "span", maintain_order=True)
        .agg(
            since=pl.col("hour").first(),
            until=pl.col("hour").last() + pl.duration(hours=1),
            hours=pl.len().cast(pl.Int64),
            requests=pl.col("requests").sum(),
            expected=pl.col("expected").sum().round(1),
        )
        .drop("span")
        .sort("expected", *INTEGRATION_KEYS, "since", descending=[True, False, False, False])
    )


def select_drawn_hours(hours: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Selects the hours to draw: integrations that miss most requests, in four weeks that end with the last silence.

    Returns:
        account_id, integration, day, hour (0 to 23), requests, expected, state.
    """
    by_weight = (
        hours.group_by(INTEGRATION_KEYS)
        .agg(
            missed=pl.col("expected").filter(is_silent()).sum(),
            requests=pl.col("requests").sum(),
        )
        .sort("missed", "requests", *INTEGRATION_KEYS, descending=[True, True, False, False])
    )
    count = min(_SHOWN_INTEGRATIONS, max(1, by_weight.filter(pl.col("missed") > 0).height))
    shown = hours.join(
        by_weight.head(count).select(INTEGRATION_KEYS), on=INTEGRATION_KEYS, how="semi", nulls_equal=True
    )
    end = pl.lit(spans["until"].max() if spans.height else hours["hour"].max(), hours.schema["hour"])
    since = end - pl.duration(days=_SHOWN_DAYS)
    ratio = pl.col("requests") / pl.col("expected")
    state = (
        pl.when(is_silent())
        .then(pl.lit("silent"))
        .when((pl.col("expected") < LEAST_EXPECTED) | pl.col("expected").is_null())
        .then(pl.lit("too few to tell"))
        .when(ratio < 0.5)
        .then(pl.lit("under half"))
        .when(ratio > 1.5)
        .then(pl.lit("over half more"))
        .otherwise(pl.lit("as usual"))
    )
    return shown.filter((pl.col("hour") >= since) & (pl.col("hour") < end + pl.duration(days=1))).select(
        *INTEGRATION_KEYS,
        day=pl.col("hour").dt.date(),
        hour=pl.col("hour").dt.hour().cast(pl.Int64),
        requests="requests",
        expected=pl.col("expected").round(1),
        state=state,
    )


def find_holes(frames: Frames) -> pl.DataFrame:
    """Finds times between two files of a series without a postback, in which at least `LEAST_EXPECTED` are expected.

    The names of files in a series differ only in digits and in the suffix of compression.

    Returns:
        series, before, after (the two files), since, until, expected (requests, by the mean rate of the series).
    """
    columns = ["source", "received_at"]
    seen = pl.concat([frames.conversions.select(columns), frames.rejections.select(columns)]).drop_nulls()
    files = read(
        seen.group_by("source").agg(
            first=pl.col("received_at").min(),
            last=pl.col("received_at").max(),
            requests=pl.len().cast(pl.Int64),
        )
    )
    rate = pl.col("requests").sum() / (pl.col("last") - pl.col("first")).dt.total_seconds().sum()
    ordered = files.with_columns(series=pl.col("source").str.replace_all(_ROTATION_SUFFIX, "")).sort(
        "series", "first", "source"
    )
    return (
        ordered.with_columns(
            rate=rate.over("series"),
            since=pl.col("last").cum_max().shift().over("series"),
            before=pl.col("source").shift().over("series"),
        )
        .rename({"source": "after", "first": "until"})
        .with_columns(expected=((pl.col("until") - pl.col("since")).dt.total_seconds() * pl.col("rate")).round(1))
        .filter(pl.col("expected").is_finite() & (pl.col("expected") >= LEAST_EXPECTED))
        .select(
            "series",
            "before",
            "after",
            pl.col("since", "until").dt.convert_time_zone(frames.zone),
            "expected",
        )
        .sort("expected", "after", descending=[True, False])
    )
