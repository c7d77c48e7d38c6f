"""Answer 7: when nothing came, and times that say something else than when they were received (rules 6)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.question import Answer, Chart, Found, Sheet, Whole, plural
from etl.reports.audit.silence import LEAST_EXPECTED, count_hours, find_holes, shown_hours, silent_spans
from etl.reports.audit.tables import WHOSE, Frames, with_issues
from etl.runner.published_tables import read

_HALF_HOUR: Final = 1800
_CLOSE_SECONDS: Final = 300
#: The zones of the earth lie within so many half hours of UTC.
_FARTHEST: Final = 28
#: An offset is an error of the sender where so many conversions, so large a share of those that say a time, and so
#: large a share of those around it are that far off.
_LEAST: Final = 10
_SHARE: Final = 0.05
_CONCENTRATION: Final = 0.8

_CODES: Final = (
    "timestamp_milliseconds",
    "timestamp_microseconds",
    "timestamp_iso8601",
    "invalid_timestamp",
    "future_timestamp",
)

#: Upper bounds in seconds of the time from happening to being received.
_DELAYS: Final = (
    (-86_400, "more than a day ahead"),
    (-60, "up to a day ahead"),
    (60, "within a minute"),
    (3_600, "within an hour"),
    (86_400, "within a day"),
    (7 * 86_400, "within a week"),
    (None, "later"),
)

_OWN_TIME: Final = pl.coalesce(
    "occurred_at_repaired", pl.when(pl.col("occurred_at_rule") == "parameter").then("occurred_at")
)


def find_times(frames: Frames) -> Found:
    """silent, hours, holes (see `silence`), offsets, delays, timestamps."""
    hours = count_hours(frames)
    spans = silent_spans(hours)
    ahead = frames.conversions.select(
        *WHOSE, seconds=(_OWN_TIME - pl.col("received_at")).dt.total_seconds()
    ).drop_nulls("seconds")
    return {
        "silent": spans,
        "hours": shown_hours(hours, spans),
        "holes": find_holes(frames),
        "offsets": _offsets(ahead),
        "delays": _delays(ahead),
        "timestamps": _timestamps(frames),
    }


def _offsets(ahead: pl.LazyFrame) -> pl.DataFrame:
    """One row a sender's error: account_id, integration, offset_hours (ahead of UTC), conversions, share, means."""
    steps = (pl.col("seconds") / _HALF_HOUR).round().cast(pl.Int64)
    is_close = (pl.col("seconds") - steps * _HALF_HOUR).abs() <= _CLOSE_SECONDS
    bins = read(
        ahead.with_columns(steps=steps, is_close=is_close)
        .group_by(*WHOSE, "steps")
        .agg(around=pl.len().cast(pl.Int64), conversions=pl.col("is_close").sum().cast(pl.Int64))
    ).with_columns(share=pl.col("conversions") / pl.col("around").sum().over(WHOSE))
    hours = pl.col("steps").abs() // 2
    minutes = pl.col("steps").abs() % 2 * 30
    sign = pl.when(pl.col("steps") > 0).then(pl.lit("+")).otherwise(pl.lit("−"))
    zone = pl.format("{}{}:{}", sign, hours.cast(pl.String).str.zfill(2), minutes.cast(pl.String).str.zfill(2))
    return (
        bins.filter(
            pl.col("steps").abs().is_between(1, _FARTHEST)
            & (pl.col("conversions") >= _LEAST)
            & (pl.col("share") >= _SHARE)
            & (pl.col("conversions") >= _CONCENTRATION * pl.col("around"))
        )
        .select(
            *WHOSE,
            offset_hours=pl.col("steps") / 2,
            conversions="conversions",
            share="share",
            means=pl.format("local time of UTC{} sent as if it were UTC", zone),
        )
        .sort("conversions", *WHOSE, descending=[True, False, False])
    )


def _delays(ahead: pl.LazyFrame) -> pl.DataFrame:
    """delay, conversions: how long after they happened conversions were received, where they say when."""
    late = -pl.col("seconds")
    cases = pl.coalesce(
        *(pl.when(late <= bound).then(pl.lit(name)) for bound, name in _DELAYS if bound is not None),
        pl.lit(_DELAYS[-1][1]),
    )
    counts = dict(read(ahead.group_by(delay=cases).agg(pl.len().cast(pl.Int64))).iter_rows())
    schema = {"delay": pl.String(), "conversions": pl.Int64()}
    return pl.DataFrame([(name, counts.get(name, 0)) for _, name in _DELAYS], schema=schema, orient="row")


def _timestamps(frames: Frames) -> pl.DataFrame:
    """account_id, integration, code, parameter, conversions, example (as sent), meant."""
    keys = (*WHOSE, "code", "parameter")
    return read(
        with_issues(frames.conversions, *_CODES)
        .group_by(keys)
        .agg(
            pl.len().cast(pl.Int64).alias("conversions"),
            example=pl.col("detail").min(),
            meant=pl.col("occurred_at_repaired").sort_by("detail").first(),
        )
    ).sort("conversions", *keys, descending=[True, *([False] * 4)])


def _say(whole: Whole, found: Found) -> list[str]:
    silent, offsets, holes = found["silent"], found["offsets"], found["holes"]
    sentences = []
    if silent.height:
        first = silent.row(0, named=True)
        sentences.append(
            f"{plural(int(silent['hours'].sum()), 'hour was', 'hours were')} silent in which about"
            f" {silent['expected'].sum():,.0f} requests were due; the longest of them {first['integration']} from"
            f" {first['since']:%Y-%m-%d %H:%M} to {first['until']:%Y-%m-%d %H:%M}."
        )
    else:
        sentences.append("No hour was silent against its integration's own pattern.")
    if holes.height:
        sentences.append(
            f"{plural(holes.height, 'hole lies', 'holes lie')} between files; about"
            f" {holes['expected'].sum():,.0f} requests would have been in {'it' if holes.height == 1 else 'them'}."
        )
    sentences += [
        f"{row['integration']} is {row['offset_hours']:+g} hours off in {row['conversions']:,} conversions:"
        f" {row['means']}."
        for row in offsets.head(3).iter_rows(named=True)
    ]
    if whole.counts["other_time"] or whole.counts["invalid_time"]:
        sentences.append(
            f"{plural(whole.counts['other_time'], 'timestamp is', 'timestamps are')} not in seconds and"
            f" {whole.n('invalid_time')} cannot be read: the time received stands in their place."
        )
    sentences.append(f"{plural(whole.counts['late'], 'conversion')} came more than a day late.")
    return sentences


ANSWER: Final = Answer(
    key="times",
    title="Time",
    question="When did nothing come, and whose times are wrong?",
    base="conversions",
    measures=("conversions", "own_time", "other_time", "invalid_time", "late", "future"),
    find=find_times,
    sheets=(
        Sheet("silent", "Silent hours"),
        Sheet("hours", "Hours against the pattern", Chart("heat_map", WHOSE, ("state",), "requests by day and hour")),
        Sheet("holes", "Holes between files"),
        Sheet("offsets", "Whole and half hours off"),
        Sheet("delays", "From happening to being received", Chart("bars", ("delay",), ("conversions",), "delay")),
        Sheet("timestamps", "Timestamps that are not in seconds"),
    ),
    days_chart=("other_time", "invalid_time", "late", "future"),
    says=_say,
    unknown=(
        f"Silence can be told where {LEAST_EXPECTED} requests an hour are usual and the tables reach over two weeks, or"
        " three days where all days are alike. A hole is told from postbacks alone: other requests of a file are not"
        " in the tables."
    ),
)
