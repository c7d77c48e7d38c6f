"""Answer 9: values that cannot be read or added up, and currencies that are none (rules 4, 8.4)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.question import Answer, Chart, Found, Sheet, Whole, plural
from etl.reports.audit.tables import IS_SUMMABLE, WHOSE, Frames, amounts, counted, with_issues
from etl.runner.published_tables import read
from etl.schema import MONEY, SUMMABLE

_KINDS: Final = {"unknown_currency": "not in ISO 4217", "invalid_currency": "not three letters"}
_LONGEST: Final = 60


def find_amounts(frames: Frames) -> Found:
    """unreadable, currencies, item_sums."""
    odd = with_issues(frames.conversions, *_KINDS).with_columns(kind=pl.col("code").replace_strict(_KINDS))
    return {
        "unreadable": _unreadable(frames),
        "currencies": counted(odd, *WHOSE, "kind", "detail").rename({"detail": "sent"}),
        "item_sums": _item_sums(frames),
    }


def _unreadable(frames: Frames) -> pl.DataFrame:
    """Values that cannot be read, by their shape: digits as 9.

    Returns:
        account_id, integration, parameter, shape, conversions, example, meant (null where that is not plain),
        money_meant.
    """
    keys = (*WHOSE, "parameter", "shape")
    shape = pl.col("detail").str.slice(0, _LONGEST).str.replace_all("[0-9]+", "9")
    by_currency = read(
        with_issues(frames.conversions, "invalid_value")
        .with_columns(shape=shape)
        .group_by(*keys, "currency")
        .agg(
            pl.len().cast(pl.Int64).alias("conversions"),
            example=pl.col("detail").min(),
            meant=pl.col("value_repaired").sort_by("detail").first(),
            value=pl.col("value_repaired").filter(pl.col("value_repaired").abs() < SUMMABLE).sum(),
        )
    )
    return (
        by_currency.sort("currency")
        .group_by(keys, maintain_order=True)
        .agg(
            pl.col("conversions").sum(),
            pl.col("example").min(),
            pl.col("meant").sort_by("example").first(),
            money_meant=amounts(pl.col("value")),
        )
        .sort("conversions", *keys, descending=[True, *([False] * 4)])
    )


def _item_sums(frames: Frames) -> pl.DataFrame:
    """Items that add up to something else: account_id, integration, conversions, values and items (money)."""
    total = pl.col("detail").cast(MONEY, strict=False)
    by_currency = read(
        with_issues(frames.conversions, "items_total_mismatch")
        .with_columns(items=pl.when(total.abs() < SUMMABLE).then(total))
        .group_by(*WHOSE, "currency")
        .agg(
            pl.len().cast(pl.Int64).alias("conversions"),
            values=pl.col("value").filter(IS_SUMMABLE).sum(),
            items=pl.col("items").sum(),
        )
    )
    return (
        by_currency.sort("currency")
        .group_by(WHOSE, maintain_order=True)
        .agg(pl.col("conversions").sum(), values=amounts(pl.col("values")), items=amounts(pl.col("items")))
        .sort("conversions", *WHOSE, descending=[True, False, False])
    )


def _say(whole: Whole, found: Found) -> list[str]:
    meant = int(found["unreadable"].filter(pl.col("meant").is_not_null())["conversions"].sum())
    unread = whole.counts["invalid_value"]
    first = f"{plural(unread, 'value')} cannot be read; what {meant:,} of them meant is plain."
    return [
        first if unread else "Every value that was sent can be read.",
        f"{plural(whole.counts['negative_value'], 'value')} below zero{whole.worth('negative_value')}.",
        (
            f"{plural(whole.counts['no_currency'], 'value has', 'values have')} no currency,"
            f" {whole.n('defaulted_currency')} the default{whole.worth('defaulted_currency')};"
            f" {whole.counts['unknown_currency'] + whole.counts['invalid_currency']:,} name none that is in use."
        ),
        f"The items of {plural(whole.counts['items_mismatch'], 'conversion')} add up to something else than its value.",
    ]


ANSWER: Final = Answer(
    key="values",
    title="Values",
    question="Which amounts are wrong, missing or in no currency?",
    base="conversions",
    measures=(
        "conversions",
        "with_value",
        "negative_value",
        "invalid_value",
        "no_currency",
        "defaulted_currency",
        "unknown_currency",
        "invalid_currency",
        "items_mismatch",
        "outlandish_value",
    ),
    find=find_amounts,
    sheets=(
        Sheet(
            "unreadable",
            "Values that cannot be read, by shape",
            Chart("bars", ("shape", "parameter"), ("conversions",), "values that cannot be read"),
        ),
        Sheet("currencies", "Currencies that are none"),
        Sheet("item_sums", "Items that add up to something else"),
    ),
    days_chart=("negative_value", "invalid_value", "unknown_currency", "invalid_currency", "items_mismatch"),
    says=_say,
    unknown="Values of 10^20 and more are left out of every sum; their number stands above.",
)
