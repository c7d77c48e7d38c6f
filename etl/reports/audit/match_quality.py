"""Answer 2: counts how conversions are matched, and match keys that are junk, of odd length or cut off (rules 3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.measures import DAY_KEYS, JUNK_KEYS, Measure
from etl.reports.audit.question import Answer, Findings, Sheet, Totals
from etl.reports.audit.tables import INTEGRATION_KEYS, IS_SUMMABLE, Frames, has_key_issue
from etl.runner.published_tables import read

#: Keys have a usual length if there are at least `LEAST_KEYS`, and at least `USUAL_SHARE` of them have the same length.
LEAST_KEYS: Final = 20
USUAL_SHARE: Final = 0.8

#: Shorter keys are the beginning of other keys by chance.
LEAST_LENGTH: Final = 6

#: Only keys of one kind are compared: click ids and reference ids of an integration differ in length.
_KIND: Final = (*INTEGRATION_KEYS, "match_type")

MEASURES: Final = (
    Measure("odd_length_key", "match key has an unusual length", "match_quality", None, has_money=True),
    Measure("cut_off_key", "match key is cut off: the beginning of another key", "match_quality", None, has_money=True),
)


def find_match_quality(frames: Frames) -> Findings:
    """Finds match keys of unusual length, and match keys that were cut off.

    Returns:
        `lengths`: one row per length. `cut_off`: one row per key that was cut off. `days`: the measures of this module.
    """
    keys = frames.conversions.filter(
        (pl.col("match_type") != "email") & ~has_key_issue(*(code for code, _, _ in JUNK_KEYS))
    ).select(
        *DAY_KEYS,
        "match_type",
        "match_key",
        length=pl.col("match_key").str.len_chars().cast(pl.Int64),
        value=pl.when(IS_SUMMABLE).then("value"),
    )
    lengths = compare_lengths(read(keys.group_by(*_KIND, "length").agg(pl.len().cast(pl.Int64).alias("conversions"))))
    odd = lengths.filter("is_unlike").lazy().select(*_KIND, "length", "usual_length")
    unlike = keys.join(odd, on=[*_KIND, "length"], nulls_equal=True)
    cut_off = _find_cut_off(keys, unlike, odd)
    is_cut_off = unlike.join(cut_off.lazy(), on=[*_KIND, "match_key"], how="semi", nulls_equal=True)
    return {
        "lengths": lengths,
        "cut_off": cut_off,
        "days": pl.concat([_by_day(unlike, "odd_length_key"), _by_day(is_cut_off, "cut_off_key")], how="diagonal"),
    }


def compare_lengths(lengths: pl.DataFrame) -> pl.DataFrame:
    """Compares the lengths of match keys with the usual length of their integration.

    Args:
        lengths: account_id, integration, match_type, length, conversions.

    Returns:
        The rows with share, usual_length (null if no length is usual) and is_unlike. Unusual lengths come first, then
        frequent lengths.
    """
    total = pl.col("conversions").sum().over(_KIND)
    most = pl.col("length").sort_by("conversions", "length").last().over(_KIND)
    is_regular = (total >= LEAST_KEYS) & (pl.col("conversions").max().over(_KIND) >= USUAL_SHARE * total)
    return (
        lengths.with_columns(
            share=pl.col("conversions") / total, usual_length=pl.when(is_regular).then(most).otherwise(None)
        )
        .with_columns(is_unlike=(pl.col("length") != pl.col("usual_length")).fill_null(value=False))
        .sort("is_unlike", "conversions", *_KIND, "length", descending=[True, True, *([False] * 4)])
    )


def _find_cut_off(keys: pl.LazyFrame, unlike: pl.LazyFrame, odd: pl.LazyFrame) -> pl.DataFrame:
    """Finds keys of unusual length that are the beginning of a key of usual length.

    The shorter keys are few and are held in memory. The longer keys are streamed, cut to the lengths of shorter keys.

    Returns:
        One row per key that was cut off: account_id, integration, match_type, match_key, conversions, whole_key.
    """
    is_short = (pl.col("length") < pl.col("usual_length")) & (pl.col("length") >= LEAST_LENGTH)
    short = read(
        unlike.filter(is_short).group_by(*_KIND, "match_key").agg(pl.len().cast(pl.Int64).alias("conversions"))
    )
    cuts = odd.filter(is_short).rename({"length": "cut"})
    begins = (
        keys.join(cuts, left_on=[*_KIND, "length"], right_on=[*_KIND, "usual_length"], nulls_equal=True)
        .with_columns(whole_key="match_key", match_key=pl.col("match_key").str.slice(0, pl.col("cut")))
        .join(short.lazy(), on=[*_KIND, "match_key"], nulls_equal=True)
        .group_by(*_KIND, "match_key", "conversions")
        .agg(pl.col("whole_key").min())
    )
    return read(begins).sort("conversions", *_KIND, "match_key", descending=[True, *([False] * 4)])


def _by_day(rows: pl.LazyFrame, name: str) -> pl.DataFrame:
    """Counts rows and sums their values by `DAY_KEYS`, as the columns of a measure."""
    counts = (pl.len().cast(pl.Int64).alias(name), pl.col("value").sum().alias(f"{name}_money"))
    return read(rows.group_by(DAY_KEYS).agg(*counts))


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    junk = sum(totals.counts[name] for _, name, _ in JUNK_KEYS)
    found = [(name, title.removeprefix("match key is ")) for _, name, title in JUNK_KEYS if totals.counts[name]]
    kinds = ", ".join(f"{title} ({totals.count_text(name)}{totals.worth(name)})" for name, title in found)
    if len(found) == 1:
        kinds = f"{found[0][1]}{totals.worth(found[0][0])}"
    sentences = [
        *(
            [f"The match key of {plural(junk, 'conversion')} can match nothing: it is {kinds}.{totals.origin}"]
            if junk
            else []
        ),
        (
            f"{totals.share('by_click_id', 'conversions')} of the conversions are matched by click_id,"
            f" {totals.share('by_ref_id', 'conversions')} by ref_id,"
            f" {totals.share('by_email', 'conversions')} by e-mail."
        ),
    ]
    if totals.counts["odd_length_key"]:
        sentences.append(
            f"{plural(totals.counts['odd_length_key'], 'key has', 'keys have')} an unusual length for the integration;"
            f" {plural(totals.counts['cut_off_key'], 'key is', 'keys are')} cut off{totals.worth('cut_off_key')}."
        )
    return sentences


ANSWER: Final = Answer(
    key="match_quality",
    title="Match quality",
    question="Which identities match conversions to clicks, and which match keys can match nothing?",
    base="conversions",
    measures=(
        "conversions",
        "by_click_id",
        "by_ref_id",
        "by_email",
        *(name for _, name, _ in JUNK_KEYS),
        *(measure.name for measure in MEASURES),
    ),
    find=find_match_quality,
    sheets=(
        Sheet("cut_off", "Match keys that were cut off"),
        Sheet("lengths", "Lengths of match keys"),
    ),
    days_chart=("by_click_id", "by_ref_id", "by_email"),
    summarise=_summarise,
    unknown=(
        "A well-formed key may still belong to no click: the tables do not hold the clicks. Lengths are compared if an"
        f" integration has at least {LEAST_KEYS} keys, and {USUAL_SHARE:.0%} of them have the same length."
    ),
    losses=tuple(name for _, name, _ in JUNK_KEYS),
    cure="Have the sender fill its macro, and leave the parameter out where there is no click id.",
)
