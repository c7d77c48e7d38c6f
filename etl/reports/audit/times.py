"""Answer 7: finds silent hours, gaps between files, and timestamps that are wrong or late (rules 6)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.question import Answer, Chart, Findings, Sheet, Totals
from etl.reports.audit.silence import LEAST_EXPECTED, count_hours, find_holes, find_silent_spans, select_drawn_hours
from etl.reports.audit.tables import INTEGRATION_KEYS, Frames, with_issues
from etl.runner.published_tables import read

_HALF_HOUR: Final = 1800
_CLOSE_SECONDS: Final = 300
#: The largest offset of a time zone from UTC, in half hours.
_MAX_HALF_HOURS: Final = 28
#: An offset is an error of the sender if enough conversions have it: the least number, the least share of conversions
#: with a timestamp, and the least share of conversions whose offset rounds to the same half hour.
_LEAST_CONVERSIONS: Final = 10
_LEAST_SHARE: Final = 0.05
_LEAST_CONCENTRATION: Final = 0.8

_CODES: Final = (
    "timestamp_milliseconds",
    "timestamp_microseconds",
    "timestamp_iso8601",
    "invalid_timestamp",
    "future_timestamp",
)

#: Names of the delay from timestamp to receipt, with upper bounds in seconds.
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


def find_times(frames: Frames) -> Findings:
    """Finds silence, offsets of whole and half hours, delays, and timestamps with issues.

    Returns:
        `silent`, `hours` and `holes`, see `silence`. `offsets`: one row per integration and offset. `delays`: one row
        per range of delays. `timestamps`: one row per integration, issue and parameter.
    """
    hours = count_hours(frames)
    spans = find_silent_spans(hours)
    ahead = frames.conversions.select(
        *INTEGRATION_KEYS, seconds=(_OWN_TIME - pl.col("received_at")).dt.total_seconds()
    ).drop_nulls("seconds")
    return {
        "silent": spans,
        "hours": select_drawn_hours(hours, spans),
        "holes": find_holes(frames),
        "offsets": _offsets(ahead),
        "delays": _delays(ahead),
        "timestamps": _timestamps(frames),
    }


def _offsets(ahead: pl.LazyFrame) -> pl.DataFrame:
    """Finds integrations whose timestamps are off by whole or half hours.

    Returns:
        account_id, integration, offset_hours (ahead of UTC), conversions, share, means.
    """
    steps = (pl.col("seconds") / _HALF_HOUR).round().cast(pl.Int64)
    is_close = (pl.col("seconds") - steps * _HALF_HOUR).abs() <= _CLOSE_SECONDS
    bins = read(
        ahead.with_columns(steps=steps, is_close=is_close)
        .group_by(*INTEGRATION_KEYS, "steps")
        .agg(around=pl.len().cast(pl.Int64), conversions=pl.col("is_close").sum().cast(pl.Int64))
    ).with_columns(share=pl.col("conversions") / pl.col("around").sum().over(INTEGRATION_KEYS))
    hours = pl.col("steps").abs() // 2
    minutes = pl.col("steps").abs() % 2 * 30
    sign = pl.when(pl.col("steps") > 0).then(pl.lit("+")).otherwise(pl.lit("−"))
    zone = pl.format("{}{}:{}", sign, hours.cast(pl.String).str.zfill(2), minutes.cast(pl.String).str.zfill(2))
    return (
        bins.filter(
            pl.col("steps").abs().is_between(1, _MAX_HALF_HOURS)
            & (pl.col("conversions") >= _LEAST_CONVERSIONS)
            & (pl.col("share") >= _LEAST_SHARE)
            & (pl.col("conversions") >= _LEAST_CONCENTRATION * pl.col("around"))
        )
        .select(
            *INTEGRATION_KEYS,
            offset_hours=pl.col("steps") / 2,
            conversions="conversions",
            share="share",
            means=pl.format("local time of UTC{} sent as if it were UTC", zone),
        )
        .sort("conversions", *INTEGRATION_KEYS, descending=[True, False, False])
    )


def _delays(ahead: pl.LazyFrame) -> pl.DataFrame:
    """Counts conversions by the delay from their timestamp to their receipt.

    Returns:
        delay, conversions: one row per range of `_DELAYS`.
    """
    late = -pl.col("seconds")
    cases = pl.coalesce(
        *(pl.when(late <= bound).then(pl.lit(name)) for bound, name in _DELAYS if bound is not None),
        pl.lit(_DELAYS[-1][1]),
    )
    counts = dict(read(ahead.group_by(delay=cases).agg(pl.len().cast(pl.Int64))).iter_rows())
    schema = {"delay": pl.String(), "conversions": pl.Int64()}
    return pl.DataFrame([(name, counts.get(name, 0)) for _, name in _DELAYS], schema=schema, orient="row")


def _timestamps(frames: Frames) -> pl.DataFrame:
    """Counts timestamps with issues.

    Returns:
        account_id, integration, code, parameter, conversions, example (as sent), meant (of an example).
    """
    keys = (*INTEGRATION_KEYS, "code", "parameter")
    return read(
        with_issues(frames.conversions, *_CODES)
        .group_by(keys)
        .agg(
            pl.len().cast(pl.Int64).alias("conversions"),
            example=pl.col("detail").min(),
            meant=pl.col("occurred_at_repaired").sort_by("detail").first(),
        )
    ).sort("conversions", *keys, descending=[True, *([False] * 4)])


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    silent, offsets, holes = findings["silent"], findings["offsets"], findings["holes"]
    sentences = []
    other, invalid = totals.counts["other_time"], totals.counts["invalid_time"]
    if other or invalid:
        amiss = (
            *([plural(other, "timestamp is", "timestamps are") + " not in seconds"] if other else []),
            *(
                [f"{invalid:,} cannot be read" if other else f"{plural(invalid, 'timestamp')} cannot be read"]
                if invalid
                else []
            ),
        )
        sentences.append(f"{' and '.join(amiss)}: the time received counts.{totals.origin}")
    if silent.height:
        first = silent.row(0, named=True)
        sentences.append(
            f"{plural(int(silent['hours'].sum()), 'hour was', 'hours were')} silent; about"
            f" {silent['expected'].sum():,.0f} requests were expected. The largest silence is that of"
            f" {first['integration']}, from {first['since']:%Y-%m-%d %H:%M} to {first['until']:%Y-%m-%d %H:%M}."
        )
    else:
        sentences.append("No hour was silent, compared with the usual hours of its integration.")
    if holes.height:
        sentences.append(
            f"{plural(holes.height, 'gap was', 'gaps were')} found between files; about"
            f" {holes['expected'].sum():,.0f} requests were expected in {'it' if holes.height == 1 else 'them'}."
        )
    sentences += [
        f"The timestamps of {row['integration']} are off by {row['offset_hours']:+g} hours in"
        f" {row['conversions']:,} conversions: {row['means']}. Send seconds since 1970 in UTC."
        for row in offsets.head(3).iter_rows(named=True)
    ]
    if totals.counts["late"]:
        late = plural(totals.counts["late"], "conversion was", "conversions were")
        sentences.append(f"{late} received more than a day after the timestamp.")
    return sentences


def _cure(totals: Totals, findings: Findings) -> str:
    """Says what would cure what was found: silence, or wrong timestamps."""
    is_silent = findings["silent"].height or findings["holes"].height
    is_wrong = any(totals.counts[name] for name in _LOSSES) or (findings["offsets"].height and not is_silent)
    cures = (*([_CURE_OF_SILENCE] if is_silent else []), *([_CURE_OF_TIMES] if is_wrong else []))
    return " ".join(cures)


_CURE_OF_SILENCE: Final = "Look for the silent hours at the sender, and for gaps among the log files."
_CURE_OF_TIMES: Final = "Send timestamp in seconds since 1970, in UTC."
_LOSSES: Final = ("other_time", "invalid_time", "future")


ANSWER: Final = Answer(
    key="times",
    title="Time",
    question="When did an integration send nothing, and which timestamps are wrong?",
    base="conversions",
    measures=("conversions", "own_time", "other_time", "invalid_time", "late", "future"),
    find=find_times,
    sheets=(
        Sheet("silent", "Silent hours"),
        Sheet(
            "hours",
            "Hours compared with usual hours",
            Chart("heat_map", INTEGRATION_KEYS, ("state",), "requests by day and hour"),
        ),
        Sheet("holes", "Gaps between files"),
        Sheet("offsets", "Timestamps off by whole or half hours"),
        Sheet("delays", "Delay from timestamp to receipt", Chart("bars", ("delay",), ("conversions",), "delay")),
        Sheet("timestamps", "Timestamps with issues"),
    ),
    days_chart=("other_time", "invalid_time", "late", "future"),
    summarise=_summarise,
    unknown=(
        f"Silence is found only where {LEAST_EXPECTED} requests an hour are usual. The usual number comes from the same"
        " weekday and hour of other weeks, or else from the same hour of at least two other days. Gaps between files"
        " are found by postbacks only: the tables do not hold other requests."
    ),
    losses=_LOSSES,
    cure=f"{_CURE_OF_SILENCE} {_CURE_OF_TIMES}",
    cure_of=_cure,
    is_amiss=lambda findings: any(findings[name].height for name in ("silent", "holes", "offsets")),
)
