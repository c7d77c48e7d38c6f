"""Counts measures by account, integration, day, currency and event, in one pass over each table.

A measure is a condition on one row of a table. Its count is a column of `days`, and so is the money of the rows that
meet the condition, if the measure has money. Measures that need other rows too are counted in the modules of their
answers, as frames with the same keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from etl.reports.audit.tables import AMOUNTS, INTEGRATION_KEYS, IS_SUMMABLE, Frames, has_issue, has_key_issue, sum_money
from etl.rules import page, placeholders
from etl.rules.timestamp_repair import UNITS
from etl.runner.published_tables import read

#: The key columns of `days`.
DAY_KEYS: Final = ("account_id", "integration", "day", "currency", "event")


class Measure(NamedTuple):
    """A count of rows.

    Attributes:
        name: Its column.
        title: What is counted, for people.
        table: The table of the rows, or another name if the module of an answer counts them.
        rows: The condition; None: the module of an answer counts the rows.
        has_money: Whether the values of the rows are summed.
    """

    name: str
    title: str
    table: str
    rows: pl.Expr | None
    has_money: bool = False


_ALL: Final = pl.lit(value=True)
_HAS_VALUE: Final = pl.col("value").is_not_null()
_IS_DUPLICATE: Final = pl.col("reason") == "duplicate_transaction"
_SECONDS_LATE: Final = (pl.col("received_at") - pl.coalesce("occurred_at_repaired", "occurred_at")).dt.total_seconds()
#: Junk match keys (rules 3.2): issue code, name and title of the measure.
JUNK_KEYS: Final = (
    ("unresolved_macro", "macro_key", "match key is a macro that was not replaced"),
    ("placeholder_word", "placeholder_key", "match key is the placeholder of a manual"),
    ("null_word", "null_word_key", "match key is a null word"),
    ("test_value", "test_key", "match key is a test value"),
    ("double_encoded", "double_encoded_key", "match key is encoded twice"),
)
TRAITS: Final = (*(name for name in page.PERSONAL_TRAITS if name != "full_name"), "country")
_OTHER_TIMES: Final = (*(code for _, code in UNITS), "timestamp_iso8601", "timestamp_text")


def was_sent(trait: str) -> pl.Expr:
    """Whether a usable trait was sent: the tables hold its hash. A trait that is plainly junk has none (rules 3.2)."""
    return pl.col(f"{trait}_sha256").is_not_null()


def _conversions(name: str, title: str, rows: pl.Expr, *, has_money: bool = False) -> Measure:
    return Measure(name, title, "conversions", rows, has_money)


def _rejections(name: str, title: str, rows: pl.Expr, *, has_money: bool = False) -> Measure:
    return Measure(name, title, "rejections", rows, has_money)


MEASURES: Final = (
    _conversions("conversions", "conversions", _ALL, has_money=True),
    _rejections("rejections", "rejections", _ALL, has_money=True),
    *(
        _rejections(reason.code, f"rejected: {reason.message}", pl.col("reason") == reason.code, has_money=True)
        for reason in page.REJECTIONS
    ),
    *(
        _conversions(f"by_{name}", f"matched by {name}", pl.col("match_type") == name, has_money=True)
        for name in ("click_id", "ref_id", "email")
    ),
    *(_conversions(name, title, has_key_issue(code), has_money=True) for code, name, title in JUNK_KEYS),
    _conversions("lead_by_default", "positive values that became a Lead", has_issue("lead_by_default"), has_money=True),
    _rejections(
        "unknown_type",
        "rejected with an unknown type",
        pl.col("reasons").list.contains("unknown_conversion_type"),
        has_money=True,
    ),
    _conversions("near_miss_name", "with a parameter that is nearly a known name", has_issue("near_miss_name")),
    _rejections(
        "near_miss_identity",
        "rejected, with a parameter that is nearly an identity",
        (pl.col("reason") == "missing_identity") & pl.col("suggestion").str.contains(" is not read; "),
        has_money=True,
    ),
    _conversions("alias_conflict", "with several values for one field", has_issue("alias_conflict"), has_money=True),
    _conversions("own_time", "with a timestamp in seconds", pl.col("occurred_at_rule") == "parameter"),
    _conversions("other_time", "timestamps that are not in seconds", has_issue(*_OTHER_TIMES)),
    _conversions("invalid_time", "timestamps that cannot be read", has_issue("invalid_timestamp")),
    _conversions("late", "received more than a day after their timestamp", _SECONDS_LATE > 86_400),
    _conversions("future", "with a timestamp more than a day after receipt", has_issue("future_timestamp")),
    _rejections(
        "identical_duplicate",
        "identical duplicates",
        _IS_DUPLICATE & (pl.col("duplicate_kind") == "identical"),
        has_money=True,
    ),
    _rejections(
        "conflicting_duplicate",
        "conflicting duplicates",
        _IS_DUPLICATE & (pl.col("duplicate_kind") == "conflicting"),
        has_money=True,
    ),
    _conversions("without_id", "without a transaction_id", pl.col("transaction_id").is_null(), has_money=True),
    _conversions(
        "junk_id",
        "with a transaction_id that is a macro or a null word",
        pl.col("transaction_id").map_batches(placeholders.is_junk_id, return_dtype=pl.Boolean, is_elementwise=True),
        has_money=True,
    ),
    _conversions("with_value", "with a value that can be read", _HAS_VALUE, has_money=True),
    _conversions("negative_value", "with a value below zero", pl.col("value") < 0, has_money=True),
    _conversions("invalid_value", "with a value that cannot be read", has_issue("invalid_value")),
    _conversions(
        "no_currency", "with a value and no currency", _HAS_VALUE & pl.col("currency").is_null(), has_money=True
    ),
    _conversions(
        "defaulted_currency",
        "with a value in the default currency",
        _HAS_VALUE & pl.col("currency").is_not_null() & pl.col("currency_defaulted"),
        has_money=True,
    ),
    _conversions("unknown_currency", "with a currency that ISO 4217 does not list", has_issue("unknown_currency")),
    _conversions("invalid_currency", "with a currency that is not three letters", has_issue("invalid_currency")),
    _conversions("items_mismatch", "with items that do not add up to the value", has_issue("items_total_mismatch")),
    _conversions("outlandish_value", "with a value too large for sums", ~IS_SUMMABLE),
    *(_conversions(f"with_{name}", f"with {name}", was_sent(name)) for name in TRAITS),
    _conversions("prehashed_trait", "with a trait that the sender hashed", has_issue("prehashed_trait")),
    _conversions("passthrough_dropped", "with passthroughs after the fifth", has_issue("passthrough_dropped")),
)


def count_days(frames: Frames) -> pl.DataFrame:
    """Counts every measure of `MEASURES` by account, integration, day, currency and event.

    Returns:
        `DAY_KEYS`, a count (Int64) by the name of each measure, and `NAME_money` (Decimal) if the measure has money.
        Null: the measure belongs to another table.
    """
    tables = {"conversions": frames.conversions, "rejections": frames.rejections}
    return pl.concat([_count(table, tables[table]) for table in tables], how="diagonal")


def _count(table: str, frame: pl.LazyFrame) -> pl.DataFrame:
    """Counts the measures of one table by `DAY_KEYS`."""
    measures = [measure for measure in MEASURES if measure.table == table]
    truths = frame.select(
        *DAY_KEYS,
        pl.when(IS_SUMMABLE).then("value").alias("value"),
        *(measure.rows.fill_null(value=False).alias(measure.name) for measure in measures if measure.rows is not None),
    )
    return read(truths.group_by(DAY_KEYS).agg(count_columns(measures)))


def count_columns(measures: list[Measure]) -> list[pl.Expr]:
    """Aggregates measures whose conditions are columns of a frame with `value`: counts, then sums of money."""
    counts = [pl.col(measure.name).sum().cast(pl.Int64) for measure in measures]
    money = [
        pl.col("value").filter(measure.name).sum().alias(f"{measure.name}_money")
        for measure in measures
        if measure.has_money
    ]
    return counts + money


#: The key columns of each level below the totals.
LEVELS: Final[dict[str, tuple[str, ...]]] = {
    "by_integration": INTEGRATION_KEYS,
    "by_day": ("day",),
    "by_integration_and_day": (*INTEGRATION_KEYS, "day"),
}

#: One row per measure. share is null if its base is zero; money is null if the measure has no money.
TOTALS: Final = pl.Schema(
    {"measure": pl.String(), "what": pl.String(), "count": pl.Int64(), "share": pl.Float64(), "money": AMOUNTS}
)


def sum_levels(days: pl.DataFrame, measures: Sequence[Measure]) -> dict[str, pl.DataFrame]:
    """Sums measures by the keys of each level, and as one row for the level `whole`; answers show columns of these.

    Args:
        days: Rows of `count_days`, joined with the measures that answers count themselves.
        measures: The measures to sum.

    Returns:
        By level: the keys, a count (Int64, never null) of each measure, and `NAME_money` (`AMOUNTS`) if the measure has
        money; sorted by the keys with nulls last.
    """
    names = [measure.name for measure in measures]
    money = [f"{measure.name}_money" for measure in measures if measure.has_money]
    rows = days.with_columns(whole=pl.lit(0))
    return {
        level: sum_money(rows, *keys, counts=names, money=money).sort(keys, nulls_last=True)
        for level, keys in {"whole": ("whole",), **LEVELS}.items()
    }


def measure_totals(whole: pl.DataFrame, measures: tuple[Measure, ...], base: str) -> pl.DataFrame:
    """Lists measures with their sums over all days and integrations.

    Args:
        whole: The level `whole` of `sum_levels`.
        measures: The measures to list.
        base: Name of the measure that shares are a part of.

    Returns:
        Rows of `TOTALS`, in the order of the measures.
    """
    sums = whole.row(0, named=True) if whole.height else {}
    of = sums.get(base, 0)

    def row(measure: Measure) -> tuple[object, ...]:
        count = sums.get(measure.name, 0)
        money = sums.get(f"{measure.name}_money", [] if measure.has_money else None)
        return measure.name, measure.title, count, count / of if of else None, money

    return pl.DataFrame([row(measure) for measure in measures], schema=TOTALS, orient="row")


def measure_by(level: pl.DataFrame, keys: tuple[str, ...], measures: tuple[Measure, ...]) -> pl.DataFrame:
    """Selects measures of a level of `sum_levels`: the keys, the counts, the money; that of the first comes last."""
    money = [f"{measure.name}_money" for measure in (*measures[1:], measures[0]) if measure.has_money]
    return level.select(*keys, *(measure.name for measure in measures), *money)


def join_days(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Concatenates frames with `DAY_KEYS` and measures; a measure that a frame lacks is null in its rows."""
    days = pl.concat(parts, how="diagonal_relaxed")
    return days.select(*DAY_KEYS, pl.exclude(DAY_KEYS))
