"""Answer 2: how sure the match is. Keys that are no key, of an odd length, or cut off (rules 3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.measures import JUNK_KEYS, KEYS, Measure
from etl.reports.audit.question import Answer, Found, Sheet, Whole, plural
from etl.reports.audit.tables import IS_SUMMABLE, WHOSE, Frames, has_key_issue
from etl.runner.published_tables import read

#: An integration's keys have a usual length where so many of them, and so large a share, are of one length.
LEAST_KEYS: Final = 20
USUAL_SHARE: Final = 0.8

#: A shorter key begins many others by chance.
LEAST_LENGTH: Final = 6

#: Keys of one kind: click and reference ids of an integration have lengths of their own.
_KIND: Final = (*WHOSE, "match_type")

MEASURES: Final = (
    Measure("odd_length_key", "match key is of a length unlike the others", "match_quality", None, has_money=True),
    Measure("cut_off_key", "match key is the beginning of another: cut off", "match_quality", None, has_money=True),
)


def find_match_quality(frames: Frames) -> Found:
    """lengths: one row a length; cut_off: one row a key that was cut off; and the measures of this module by day."""
    keys = frames.conversions.filter(
        (pl.col("match_type") != "email") & ~has_key_issue(*(code for code, _, _ in JUNK_KEYS))
    ).select(
        *KEYS,
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
    """Which lengths are unlike the others of their integration.

    Args:
        lengths: account_id, integration, match_type, length, conversions.

    Returns:
        The same with share, usual_length (null where no length is usual) and is_unlike, the most used first.
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
    """One row a key of an odd length that is a proper prefix of a key of the usual one.

    The shorter keys are few, so they are held; the others pass by, cut to the lengths that occur among the former.
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
    counts = (pl.len().cast(pl.Int64).alias(name), pl.col("value").sum().alias(f"{name}_money"))
    return read(rows.group_by(KEYS).agg(*counts))


def _say(whole: Whole, found: Found) -> list[str]:
    junk = [name for _, name, _ in JUNK_KEYS if whole.counts[name]]
    sentences = [
        (
            f"{whole.share('by_click_id', 'conversions')} of the conversions are matched by click_id,"
            f" {whole.share('by_ref_id', 'conversions')} by ref_id, {whole.share('by_email', 'conversions')} by e-mail."
        ),
        *(
            f"{plural(whole.counts[name], 'conversion')}: {title}{whole.worth(name)}."
            for _, name, title in JUNK_KEYS
            if name in junk
        ),
    ]
    if whole.counts["odd_length_key"]:
        sentences.append(
            f"{plural(whole.counts['odd_length_key'], 'key is', 'keys are')} of a length unlike the others of their"
            f" integration; {whole.n('cut_off_key')} of them are cut off{whole.worth('cut_off_key')}."
        )
    return sentences


ANSWER: Final = Answer(
    key="match_quality",
    title="Match quality",
    question="By what are conversions matched to clicks, and which match keys can match nothing?",
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
        Sheet("cut_off", "Keys that were cut off"),
        Sheet("lengths", "Lengths of match keys"),
    ),
    days_chart=("by_click_id", "by_ref_id", "by_email"),
    says=_say,
    unknown=(
        "A key can be well formed and still be nobody's click: which clicks there were, these tables do not say."
        f" Lengths are compared where {LEAST_KEYS} keys and {USUAL_SHARE:.0%} of them are of one length."
    ),
)
