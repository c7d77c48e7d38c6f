"""Answer 8: what deduplication removed, and what it could not (rules 6.3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.measures import JUNK_KEYS, KEYS, Measure
from etl.reports.audit.question import Answer, Chart, Found, Sheet, Whole, money_text, plural
from etl.reports.audit.tables import IS_SUMMABLE, WHOSE, Frames, amounts, counted, has_key_issue
from etl.runner.published_tables import read
from etl.transform import placeholders

MEASURES: Final = (
    Measure("likely_duplicate", "likely duplicates that carry no id", "duplicates", None, has_money=True),
)

#: Two conversions without an id that agree in all else are likely one if no more than this lies between them.
_LIKELY_SECONDS: Final = 600

#: An id whose repetitions say something else so often is no id: the same for every order.
_CONSTANT: Final = 5

#: So many conversions without an id are compared at a time: what bounds the memory.
_AT_A_TIME: Final = 4_000_000

#: Upper bounds in seconds of the time between the record that was kept and its repetition.
_GAPS: Final = (
    (1, "within a second"),
    (60, "within a minute"),
    (3_600, "within an hour"),
    (86_400, "within a day"),
    (7 * 86_400, "within a week"),
    (None, "later"),
)


def find_duplicates(frames: Frames) -> Found:
    """gaps, repeated_ids, likely; and the measures of this module by day."""
    repetitions = frames.rejections.filter(pl.col("reason") == "duplicate_transaction")
    likely = _likely(frames)
    return {
        "gaps": _gaps(frames, repetitions),
        "repeated_ids": _repeated_ids(frames, repetitions),
        "likely": _likely_by_sender(likely),
        "days": likely.group_by(KEYS).agg(
            pl.len().cast(pl.Int64).alias("likely_duplicate"), pl.col("value").sum().alias("likely_duplicate_money")
        ),
    }


def _gaps(frames: Frames, repetitions: pl.LazyFrame) -> pl.DataFrame:
    """gap, identical, conflicting, money: how long after the kept record a repetition came, and what it was worth."""
    kept = frames.conversions.select(duplicate_of="conversion_id", kept_at="received_at")
    seconds = (pl.col("received_at") - pl.col("kept_at")).dt.total_seconds()
    cases = pl.coalesce(
        pl.when(seconds.is_null()).then(pl.lit("no time to compare")),
        *(pl.when(seconds <= bound).then(pl.lit(name)) for bound, name in _GAPS if bound is not None),
        pl.lit(_GAPS[-1][1]),
    )
    kinds = ("identical", "conflicting")
    by_currency = read(
        kept.join(
            repetitions.select("duplicate_of", "duplicate_kind", "received_at", "value", "currency"), on="duplicate_of"
        )
        .group_by("currency", gap=cases)
        .agg(
            *((pl.col("duplicate_kind") == kind).sum().cast(pl.Int64).alias(kind) for kind in kinds),
            value=pl.col("value").filter(IS_SUMMABLE).sum(),
        )
    )
    order = [name for _, name in _GAPS] + ["no time to compare"]
    return (
        by_currency.sort("currency")
        .group_by("gap", maintain_order=True)
        .agg(pl.col(kinds).sum(), money=amounts(pl.col("value")))
        .sort(pl.col("gap").cast(pl.Enum(order)))
    )


def _repeated_ids(frames: Frames, repetitions: pl.LazyFrame) -> pl.DataFrame:
    """Ids that are none.

    Returns:
        account_id, integration, transaction_id, kind (`constant`, `macro`, `null word`), records, money. Of a constant
        id the repetitions alone.
    """
    keys = (*WHOSE, "transaction_id")
    ids = repetitions.with_columns(pl.col("transaction_id").str.strip_chars())
    conflicting = counted(ids.filter(pl.col("duplicate_kind") == "conflicting"), *keys, count="records")
    constant = counted(ids, *keys, count="records").join(
        conflicting.filter(pl.col("records") >= _CONSTANT), on=keys, how="semi", nulls_equal=True
    )
    kinds = {"macro": placeholders.is_macro, "null word": placeholders.is_null_word}
    words = [
        counted(
            frames.conversions.filter(
                pl.col("transaction_id").map_batches(is_junk, return_dtype=pl.Boolean, is_elementwise=True)
            ),
            *keys,
            count="records",
        ).with_columns(kind=pl.lit(kind))
        for kind, is_junk in kinds.items()
    ]
    return (
        pl.concat([constant.with_columns(kind=pl.lit("constant")), *words])
        .select(*keys, "kind", "records", "money")
        .sort("records", *keys, descending=[True, False, False, False])
    )


def _likely(frames: Frames) -> pl.DataFrame:
    """Conversions without an id that repeat an earlier one within minutes: the same sender, key, event and value.

    All that carry no id are compared by a hash of these, a part of the hashes at a time, so that memory stays flat.

    Returns:
        `KEYS`, value and gap (seconds since the one before): one row a repetition.
    """
    same = pl.struct(*WHOSE, "match_type", "match_key", "event", "value", "currency").hash(seed=0)
    without = frames.conversions.filter(
        pl.col("transaction_id").is_null()
        & pl.col("received_at").is_not_null()
        & pl.col("match_key").is_not_null()
        & ~has_key_issue(*(code for code, _, _ in JUNK_KEYS))
    ).select(*KEYS, "received_at", value=pl.when(IS_SUMMABLE).then("value"), same=same)
    parts = 1 + int(read(without.select(pl.len())).item()) // _AT_A_TIME
    found = [_repeated(read(without.filter(pl.col("same") % parts == part))) for part in range(parts)]
    return pl.concat(found)


def _repeated(rows: pl.DataFrame) -> pl.DataFrame:
    gap = pl.col("received_at").diff().over("same").dt.total_seconds()
    return (
        rows.filter(pl.col("same").is_duplicated())
        .sort("same", "received_at")
        .with_columns(gap=gap)
        .filter(pl.col("gap") <= _LIKELY_SECONDS)
        .drop("same", "received_at")
    )


def _likely_by_sender(likely: pl.DataFrame) -> pl.DataFrame:
    """account_id, integration, conversions, median_gap (seconds), money."""
    money = likely.group_by(*WHOSE, "currency").agg(pl.col("value").sum()).sort("currency")
    sums = money.group_by(WHOSE).agg(money=amounts(pl.col("value")))
    return (
        likely.group_by(WHOSE)
        .agg(pl.len().cast(pl.Int64).alias("conversions"), median_gap_seconds=pl.col("gap").median())
        .join(sums, on=WHOSE, how="left", nulls_equal=True)
        .sort("conversions", *WHOSE, descending=[True, False, False])
    )


def _say(whole: Whole, found: Found) -> list[str]:
    same, other = whole.counts["identical_duplicate"], whole.counts["conflicting_duplicate"]
    sentences = [
        (
            f"{plural(same + other, 'repetition was', 'repetitions were')} removed"
            f"{whole.worth('duplicate_transaction')}: {same:,} say the same, {other:,} something else."
        ),
        (
            f"{whole.share('without_id', 'conversions')} of the conversions carry no transaction_id"
            f"{whole.worth('without_id')}; {plural(whole.counts['likely_duplicate'], 'of them is', 'of them are')}"
            f" likely counted twice{whole.worth('likely_duplicate')}."
        ),
    ]
    ids = found["repeated_ids"]
    if ids.height:
        first = ids.row(0, named=True)
        worth = f", worth {money_text(first['money'])}" if first["money"] else ""
        sentences.append(
            f"{plural(ids.height, 'id is', 'ids are')} none: {first['transaction_id']!r} ({first['kind']}) of"
            f" {first['integration']} stands in {plural(first['records'], 'record')}{worth}."
        )
    return sentences


ANSWER: Final = Answer(
    key="duplicates",
    title="Duplicates",
    question="What did deduplication remove, and what may have been counted twice?",
    base="conversions",
    measures=(
        "conversions",
        "duplicate_transaction",
        "identical_duplicate",
        "conflicting_duplicate",
        "without_id",
        "junk_id",
        "likely_duplicate",
    ),
    find=find_duplicates,
    sheets=(
        Sheet(
            "gaps",
            "Time between a conversion and its repetition",
            Chart("bars", ("gap",), ("identical", "conflicting"), "repetitions by the time since the first"),
        ),
        Sheet("repeated_ids", "Ids that are none"),
        Sheet("likely", "Likely duplicates that carry no id"),
    ),
    days_chart=("identical_duplicate", "conflicting_duplicate", "likely_duplicate"),
    says=_say,
    unknown=(
        f"A constant id is told by {_CONSTANT} repetitions or more that say something else. Likely duplicates agree in"
        f" match key, event, value and currency within {_LIKELY_SECONDS // 60} minutes; two true sales can do so."
    ),
)
