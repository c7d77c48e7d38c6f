"""Finds transaction ids by which deduplication may remove genuine sales, or keep one sale twice (rules 6.3)."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from etl.reports.audit.repeated_rows import read_repeated
from etl.reports.audit.tables import AMOUNTS, INTEGRATION_KEYS, IS_SUMMABLE, Frames, count_rows, sum_currencies

#: An identical repetition this many days after the kept record, or later, may be a rebill.
REBILL_DAYS: Final = 6


class Doubt(NamedTuple):
    """A kind of doubtful ids: its name, and what would cure it."""

    kind: str
    cure: str


CLICK_ID: Final = Doubt("the id is the click id", "let the sender give the order's own id as transaction_id")
REBILL: Final = Doubt(
    "the same amount weeks later",
    'if these are rebills (a customer pays every month), set dedup_window = "1d" in a ruleset',
)
TWICE: Final = Doubt(
    "one id in several integrations", "if a pixel and a server report the same sales, count one of the integrations"
)

#: One row per kind and integration. A row of `TWICE` names all integrations that share ids, and its records and money
#: are those of all but the first of them.
DOUBTFUL: Final = pl.Schema(
    {
        "kind": pl.String(),
        "account_id": pl.String(),
        "integration": pl.String(),
        "records": pl.Int64(),
        "money": AMOUNTS,
        "cure": pl.String(),
    }
)


def find_doubtful(frames: Frames, repetitions: pl.LazyFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """Finds ids that are the click id, identical repetitions weeks later, and ids in several integrations.

    Args:
        frames: The tables.
        repetitions: The rejections that are duplicates.
        kept: When the records that they repeat were received: `kept`, the `hash_id` of the conversion, and `kept_at`.

    Returns:
        Rows of `DOUBTFUL`, most records first: removed repetitions, and of ids in several integrations what was kept
        too often.
    """
    days_later = (pl.col("received_at") - pl.col("kept_at")).dt.total_days()
    rebills = repetitions.filter(pl.col("duplicate_kind") == "identical").join(
        kept.lazy(), left_on=hash_id("duplicate_of"), right_on="kept"
    )
    found = (
        (CLICK_ID, count_rows(repetitions.filter(_is_click_id()), *INTEGRATION_KEYS, count="records")),
        (
            REBILL,
            count_rows(
                rebills.filter((days_later >= REBILL_DAYS) & ~_is_click_id()), *INTEGRATION_KEYS, count="records"
            ),
        ),
        (TWICE, _find_twice(frames)),
    )
    rows = [part.with_columns(kind=pl.lit(doubt.kind), cure=pl.lit(doubt.cure)) for doubt, part in found]
    return (
        pl.concat(rows, how="diagonal_relaxed")
        .select(DOUBTFUL.names())
        .sort("records", "kind", descending=[True, False])
    )


def hash_id(column: str) -> pl.Expr:
    """Hashes a column of ids. Of ids themselves, rows that a join picks keep the texts of all others in memory."""
    return pl.col(column).hash(seed=0)


def _is_click_id() -> pl.Expr:
    """Whether a transaction id is the match key of its record."""
    return (pl.col("transaction_id").str.strip_chars() == pl.col("match_key")).fill_null(value=False)


def _find_twice(frames: Frames) -> pl.DataFrame:
    """Counts the conversions whose id, event and account are those of a conversion in another integration.

    Returns:
        account_id, integration (the names, joined), records, money.
    """
    same = pl.struct("account_id", "event", pl.col("transaction_id").str.strip_chars()).hash(seed=0)
    sent = frames.conversions.filter(pl.col("transaction_id").is_not_null() & (pl.col("transaction_id") != "")).select(
        *INTEGRATION_KEYS, "currency", "event", value=pl.when(IS_SUMMABLE).then("value"), same=same
    )
    counted = (
        pl.concat(_find_repeated(rows) for rows in read_repeated(sent))
        .group_by(*INTEGRATION_KEYS, "currency", "event")
        .agg(pl.col("records", "value").sum())
    )
    return sum_currencies(counted, *INTEGRATION_KEYS, count="records")


def _find_repeated(rows: pl.DataFrame) -> pl.DataFrame:
    """Sums, by the integrations that share ids, all records of these ids but those of the first integration."""
    names = pl.col("integration").fill_null("(none)")
    shared = rows.filter(pl.col("integration").n_unique().over("same") > 1).with_columns(
        together=names.unique().sort().str.join(", ").over("same"), first=names.min().over("same")
    )
    return (
        shared.filter(names != pl.col("first"))
        .group_by("account_id", "currency", "event", integration="together")
        .agg(pl.len().cast(pl.Int64).alias("records"), pl.col("value").sum())
    )
