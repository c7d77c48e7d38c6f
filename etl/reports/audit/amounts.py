"""Answer 9: counts values that are unreadable or wrong, and invalid currencies (rules 4, 8.4)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.question import Answer, Chart, Findings, Sheet, Totals
from etl.reports.audit.tables import INTEGRATION_KEYS, IS_SUMMABLE, Frames, count_rows, sum_money, with_issues
from etl.runner.published_tables import read
from etl.schema import MONEY, SUMMABLE

_KINDS: Final = {"unknown_currency": "not in ISO 4217", "invalid_currency": "not three letters"}
_LONGEST: Final = 60


def find_amounts(frames: Frames) -> Findings:
    """Finds unreadable values, invalid currencies, and items that do not add up to their conversion's value.

    Returns:
        `unreadable`: one row per shape of a value. `currencies`: one row per currency sent. `item_sums`: one row per
        integration.
    """
    odd = with_issues(frames.conversions, *_KINDS).with_columns(kind=pl.col("code").replace_strict(_KINDS))
    return {
        "unreadable": _unreadable(frames),
        "currencies": count_rows(odd, *INTEGRATION_KEYS, "kind", "detail").rename({"detail": "sent"}),
        "item_sums": _item_sums(frames),
    }


def _unreadable(frames: Frames) -> pl.DataFrame:
    """Counts values that cannot be read by their shape: each run of digits becomes 9.

    Returns:
        account_id, integration, parameter, shape, conversions, example, meant (null where the meaning is unclear),
        money_meant.
    """
    keys = (*INTEGRATION_KEYS, "parameter", "shape")
    shape = pl.col("detail").str.slice(0, _LONGEST).str.replace_all("[0-9]+", "9")
    sums = read(
        with_issues(frames.conversions, "invalid_value")
        .with_columns(shape=shape, currency=pl.coalesce("currency_repaired", "currency"))
        .group_by(*keys, "currency", "event")
        .agg(
            pl.len().cast(pl.Int64).alias("conversions"),
            example=pl.col("detail").min(),
            meant=pl.col("value_repaired").sort_by("detail").first(),
            value=pl.col("value_repaired").filter(pl.col("value_repaired").abs() < SUMMABLE).sum(),
        )
    )
    examples = sums.group_by(keys).agg(pl.col("example").min(), pl.col("meant").sort_by("example").first())
    money = sum_money(sums, *keys, counts=("conversions",)).rename({"value": "money_meant"})
    return (
        money.join(examples, on=keys, nulls_equal=True)
        .select(*keys, "conversions", "example", "meant", "money_meant")
        .sort("conversions", *keys, descending=[True, *([False] * 4)])
    )


def _item_sums(frames: Frames) -> pl.DataFrame:
    """Counts conversions whose items do not add up to their value.

    Returns:
        account_id, integration, conversions, values and items (money).
    """
    total = pl.col("detail").cast(MONEY, strict=False)
    sums = read(
        with_issues(frames.conversions, "items_total_mismatch")
        .with_columns(items=pl.when(total.abs() < SUMMABLE).then(total))
        .group_by(*INTEGRATION_KEYS, "currency", "event")
        .agg(
            pl.len().cast(pl.Int64).alias("conversions"),
            values=pl.col("value").filter(IS_SUMMABLE).sum(),
            items=pl.col("items").sum(),
        )
    )
    return sum_money(sums, *INTEGRATION_KEYS, counts=("conversions",), money=("values", "items")).sort(
        "conversions", *INTEGRATION_KEYS, descending=[True, False, False]
    )


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    meant = int(findings["unreadable"].filter(pl.col("meant").is_not_null())["conversions"].sum())
    unread = totals.counts["invalid_value"]
    invalid = totals.counts["unknown_currency"] + totals.counts["invalid_currency"]
    without = totals.counts["no_currency"]
    amiss = [
        *([f"{plural(unread, 'value')} cannot be read (the meaning of {meant:,} is clear)"] if unread else []),
        *(
            [f"{plural(without, 'value has', 'values have')} no currency{totals.worth('no_currency')}"]
            if without
            else []
        ),
        *([f"{plural(invalid, 'currency is', 'currencies are')} invalid"] if invalid else []),
    ]
    others = (
        ("negative_value", "value is", "values are", "below zero"),
        ("defaulted_currency", "value has", "values have", "the default currency"),
    )
    mismatches = totals.counts["items_mismatch"]
    return [
        (
            f"{'; '.join(amiss)}.{totals.origin}"
            if amiss
            else "Every value that was sent can be read, and has a valid currency."
        ),
        *(
            f"{plural(totals.counts[name], one, many)} {what}{totals.worth(name)}."
            for name, one, many, what in others
            if totals.counts[name]
        ),
        *([f"The items of {plural(mismatches, 'conversion')} do not add up to the value."] if mismatches else []),
    ]


ANSWER: Final = Answer(
    key="values",
    title="Values",
    question="Which amounts are wrong, missing or without a currency?",
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
            Chart("bars", ("shape", "parameter"), ("conversions",), "values that cannot be read", "invalid_value"),
        ),
        Sheet("currencies", "Invalid currencies"),
        Sheet("item_sums", "Items that do not add up to the value"),
    ),
    days_chart=("negative_value", "invalid_value", "unknown_currency", "invalid_currency", "items_mismatch"),
    summarise=_summarise,
    unknown="Sums leave out values of 10^20 and more; the table above counts them.",
    losses=("invalid_value", "no_currency", "invalid_currency", "unknown_currency"),
    cure="Send plain numbers with a decimal point, and a currency of ISO 4217.",
)
