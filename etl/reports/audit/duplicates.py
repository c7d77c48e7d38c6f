"""Answer 8: counts what deduplication removed, and likely duplicates that it could not detect (rules 6.3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.doubtful_ids import CLICK_ID, REBILL, REBILL_DAYS, TWICE, find_doubtful, hash_id
from etl.reports.audit.measures import DAY_KEYS, JUNK_KEYS, Measure
from etl.reports.audit.question import Answer, Chart, Findings, Sheet, Totals, money_text
from etl.reports.audit.repeated_rows import read_repeated
from etl.reports.audit.tables import (
    INTEGRATION_KEYS,
    IS_SUMMABLE,
    Frames,
    count_rows,
    has_key_issue,
    joined_money,
    sum_money,
)
from etl.rules import placeholders
from etl.runner.published_tables import read

MEASURES: Final = (Measure("likely_duplicate", "likely duplicates without an id", "duplicates", None, has_money=True),)

#: Conversions without an id that agree in everything else are likely duplicates within this time of each other.
_LIKELY_SECONDS: Final = 600

#: A transaction id with at least this many conflicting repetitions is a constant that the sender gives every order.
_CONSTANT_ID_CONFLICTS: Final = 5

#: Names of the time between a kept record and its repetition, with upper bounds in seconds.
_GAPS: Final = (
    (1, "within a second"),
    (60, "within a minute"),
    (3_600, "within an hour"),
    (86_400, "within a day"),
    (7 * 86_400, "within a week"),
    (None, "later"),
)


def find_duplicates(frames: Frames) -> Findings:
    """Finds repetitions that were removed, ids that identify no order, and likely duplicates without an id.

    Returns:
        `gaps`: one row per range of time. `repeated_ids`: one row per id. `doubtful`: rows of `DOUBTFUL`. `likely`: one
        row per integration. `days`: the measures of this module.
    """
    repetitions = frames.rejections.filter(pl.col("reason") == "duplicate_transaction")
    likely = _likely(frames)
    kept = _kept_times(frames, repetitions)
    return {
        "gaps": _gaps(repetitions, kept),
        "repeated_ids": _repeated_ids(frames, repetitions),
        "doubtful": find_doubtful(frames, repetitions, kept),
        "likely": _likely_by_sender(likely),
        "days": likely.group_by(DAY_KEYS).agg(
            pl.len().cast(pl.Int64).alias("likely_duplicate"), pl.col("value").sum().alias("likely_duplicate_money")
        ),
    }


def _kept_times(frames: Frames, repetitions: pl.LazyFrame) -> pl.DataFrame:
    """Finds when the records that were repeated were received: `kept`, the `hash_id` of the conversion, and `kept_at`.

    A semi-join holds the few hashes of the repetitions in memory; an inner join may choose to hold all conversions.
    """
    kept = frames.conversions.select("received_at", kept=hash_id("conversion_id")).rename({"received_at": "kept_at"})
    return read(kept.join(repetitions.select(kept=hash_id("duplicate_of")), on="kept", how="semi"))


def _gaps(repetitions: pl.LazyFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """Counts repetitions by the time since their kept record.

    Returns:
        gap, identical, conflicting, money (of the repetitions).
    """
    seconds = (pl.col("received_at") - pl.col("kept_at")).dt.total_seconds()
    cases = pl.coalesce(
        pl.when(seconds.is_null()).then(pl.lit("no time to compare")),
        *(pl.when(seconds <= bound).then(pl.lit(name)) for bound, name in _GAPS if bound is not None),
        pl.lit(_GAPS[-1][1]),
    )
    kinds = ("identical", "conflicting")
    sums = read(
        kept.lazy()
        .join(
            repetitions.select(
                "duplicate_kind", "received_at", "value", "currency", "event", kept=hash_id("duplicate_of")
            ),
            on="kept",
        )
        .group_by("currency", "event", gap=cases)
        .agg(
            *((pl.col("duplicate_kind") == kind).sum().cast(pl.Int64).alias(kind) for kind in kinds),
            value=pl.col("value").filter(IS_SUMMABLE).sum(),
        )
    )
    order = [name for _, name in _GAPS] + ["no time to compare"]
    money = sum_money(sums, "gap", counts=kinds).rename({"value": "money"})
    return money.sort(pl.col("gap").cast(pl.Enum(order)))


def _repeated_ids(frames: Frames, repetitions: pl.LazyFrame) -> pl.DataFrame:
    """Lists transaction ids that identify no order.

    Returns:
        account_id, integration, transaction_id, kind (`constant`, `macro`, `placeholder word`, `null word`), records,
        money. For a constant id, `records` counts the repetitions only.
    """
    keys = (*INTEGRATION_KEYS, "transaction_id")
    ids = repetitions.with_columns(pl.col("transaction_id").str.strip_chars())
    conflicting = count_rows(ids.filter(pl.col("duplicate_kind") == "conflicting"), *keys, count="records")
    constant = count_rows(ids, *keys, count="records").join(
        conflicting.filter(pl.col("records") >= _CONSTANT_ID_CONFLICTS), on=keys, how="semi", nulls_equal=True
    )
    kinds = {
        "macro": placeholders.is_macro,
        "placeholder word": placeholders.is_placeholder_word,
        "null word": placeholders.is_null_id,
    }
    words = [
        count_rows(
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
    """Finds conversions without an id that repeat an earlier conversion within minutes.

    Two conversions match if integration, match key, event, value and currency agree. They are compared by a hash of
    these columns.

    Returns:
        One row per repetition: `DAY_KEYS`, value and gap (seconds since the previous conversion).
    """
    same = pl.struct(*INTEGRATION_KEYS, "match_type", "match_key", "event", "value", "currency").hash(seed=0)
    without = frames.conversions.filter(
        pl.col("transaction_id").is_null()
        & pl.col("received_at").is_not_null()
        & pl.col("match_key").is_not_null()
        & ~has_key_issue(*(code for code, _, _ in JUNK_KEYS))
    ).select(*DAY_KEYS, "received_at", value=pl.when(IS_SUMMABLE).then("value"), same=same)
    return pl.concat(_find_repetitions(rows) for rows in read_repeated(without))


def _find_repetitions(rows: pl.DataFrame) -> pl.DataFrame:
    """Keeps rows that follow a row with the same hash within `_LIKELY_SECONDS`, and adds the gap in seconds."""
    gap = pl.col("received_at").diff().over("same").dt.total_seconds()
    return (
        rows.sort("same", "received_at")
        .with_columns(gap=gap)
        .filter(pl.col("gap") <= _LIKELY_SECONDS)
        .drop("same", "received_at")
    )


def _likely_by_sender(likely: pl.DataFrame) -> pl.DataFrame:
    """Counts likely duplicates by integration.

    Returns:
        account_id, integration, conversions, median_gap_seconds, money.
    """
    sums = sum_money(likely, *INTEGRATION_KEYS).rename({"value": "money"})
    return (
        likely.group_by(INTEGRATION_KEYS)
        .agg(pl.len().cast(pl.Int64).alias("conversions"), median_gap_seconds=pl.col("gap").median())
        .join(sums, on=INTEGRATION_KEYS, how="left", nulls_equal=True)
        .sort("conversions", *INTEGRATION_KEYS, descending=[True, False, False])
    )


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    same, other = totals.counts["identical_duplicate"], totals.counts["conflicting_duplicate"]
    likely = totals.counts["likely_duplicate"]
    twice = (
        f"; {plural(likely, 'of them is', 'of them are')} likely counted twice{totals.worth('likely_duplicate')}"
        if likely
        else ""
    )
    return [
        *([_lost_sentence(totals, findings)] if other else []),
        (
            f"{plural(same + other, 'repetition was', 'repetitions were')} removed{' in all' if other else ''}:"
            f" {same:,} {'is' if same == 1 else 'are'} identical with the record that was kept, {other:,}"
            f" {'differs' if other == 1 else 'differ'} from it."
            if same + other
            else "No repetition was removed."
        ),
        (
            f"{totals.share('without_id', 'conversions')} of the conversions have no transaction_id"
            f"{totals.worth('without_id')}{twice}."
        ),
        *_summarise_ids(findings["repeated_ids"]),
        *_summarise_doubts(findings["doubtful"]),
    ]


def _lost_sentence(totals: Totals, findings: Findings) -> str:
    """Says what deduplication may have lost, why, and who sent it."""
    other = totals.counts["conflicting_duplicate"]
    constant = findings["repeated_ids"].filter(pl.col("kind") == "constant").head(1)
    why = "".join(
        f" Integration {row['integration'] or '(none)'} sends the transaction_id {row['transaction_id']!r} for many"
        " orders."
        for row in constant.iter_rows(named=True)
    )
    return (
        f"{plural(other, 'record that may be a sale of its own was', 'records that may be sales of their own were')}"
        f" removed{totals.worth('conflicting_duplicate')}:"
        f" {'it repeats' if other == 1 else 'they repeat'} the transaction_id of another record, but"
        f" {'differs' if other == 1 else 'differ'} from it.{totals.origin}{why}"
    )


def _summarise_ids(ids: pl.DataFrame) -> list[str]:
    """Says how many ids identify no order, and which is the most frequent."""
    if not ids.height:
        return []
    first = ids.row(0, named=True)
    worth = f", worth {money_text(first['money'])}" if first["money"] else ""
    removed = "removed, those that are identical included" if first["kind"] == "constant" else "kept"
    return [
        (
            f"{plural(ids.height, 'transaction_id identifies', 'transaction_ids identify')} no order; the most frequent"
            f" is {first['transaction_id']!r} ({first['kind']}) of integration {first['integration'] or '(none)'}:"
            f" {plural(first['records'], 'record')}{worth}, {'was' if first['records'] == 1 else 'were'} {removed}."
        )
    ]


def _summarise_doubts(doubtful: pl.DataFrame) -> list[str]:
    """Says for each kind of doubtful ids how many records and how much money hang on it, and what would cure it."""
    sentences = []
    for doubt, says in (
        (CLICK_ID, "removed {}, whose transaction_id is the click id"),
        (REBILL, f"removed {{}}, which repeat a sale of the same amount {REBILL_DAYS} days before or earlier"),
        (TWICE, "kept {}, whose transaction_id another integration reported too"),
    ):
        rows = doubtful.filter(pl.col("kind") == doubt.kind)
        if rows.height:
            total = joined_money(rows["money"])
            worth = f", worth {money_text(total)}" if total else ""
            records = plural(int(rows["records"].sum()), "record")
            sentences.append(f"Deduplication {says.format(f'{records}{worth}')}: {doubt.cure}.")
    return sentences


ANSWER: Final = Answer(
    key="duplicates",
    title="Duplicates",
    question="What did deduplication remove, and which conversions may be counted twice?",
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
            Chart("bars", ("gap",), ("identical", "conflicting"), "repetitions by the time since the conversion"),
        ),
        Sheet("repeated_ids", "Ids that identify no order"),
        Sheet("doubtful", "Ids to check: a genuine sale may be removed, or one sale kept twice"),
        Sheet("likely", "Likely duplicates without an id"),
    ),
    days_chart=("identical_duplicate", "conflicting_duplicate", "likely_duplicate"),
    summarise=_summarise,
    unknown=(
        f"An id counts as constant if at least {_CONSTANT_ID_CONFLICTS} of its repetitions conflict. Likely duplicates"
        f" agree in match key, event, value and currency within {_LIKELY_SECONDS // 60} minutes; two genuine sales can"
        " do so too."
    ),
    losses=("conflicting_duplicate", "junk_id"),
    cure="Send the id of the order as transaction_id, a new one for each sale.",
)
