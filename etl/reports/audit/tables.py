"""Gives the answers their tables, and the expressions that several answers use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from etl.rules.ruleset import Ruleset
from etl.runner.published_tables import Published, read
from etl.schema import MONEY, SUMMABLE

#: The columns that identify an integration: the two variable parts of the path.
INTEGRATION_KEYS: Final = ("account_id", "integration")

#: Money: one amount per currency, and its parts by event: a refund of 70 beside a sale of 70 is not 140. Amounts in
#: different currencies are never added.
AMOUNTS: Final = pl.List(
    pl.Struct(
        {
            "currency": pl.String(),
            "amount": MONEY,
            "by_event": pl.List(pl.Struct({"event": pl.String(), "amount": MONEY})),
        }
    )
)

IS_SUMMABLE: Final = pl.col("value").abs() < SUMMABLE
_CODES: Final = pl.col("issues").list.eval(pl.element().struct.field("code"))

#: Where a user agent names its program: after `compatible;`, as a known browser, or in the first word.
_FAMILY: Final = (
    r"compatible; ?([^/;,)\s]{1,40})",
    r"(?:^Mozilla/.*)(Edg|OPR|Firefox|Chrome)/",
    r"^(Mozilla)/",
    r"^([^/\s(;,]{1,40})",
)


class Frames(NamedTuple):
    """The published tables, as the answers read them.

    Attributes:
        conversions: The table, with the `day` and the start of the `hour` of received_at in the zone.
        rejections: The table, likewise.
        passthroughs: The table.
        manifest: The run's manifest.
        ruleset: The ruleset that the tables were made with, or the page's rules if that ruleset is not available.
        zone: IANA name of the time zone of days and hours.
    """

    conversions: pl.LazyFrame
    rejections: pl.LazyFrame
    passthroughs: pl.LazyFrame
    manifest: dict[str, Any]
    ruleset: Ruleset
    zone: str


def make_frames(published: Published, ruleset: Ruleset, zone: str) -> Frames:
    """Adds days and hours in a time zone to published tables."""
    local = pl.col("received_at").dt.convert_time_zone(zone)
    times = {"day": local.dt.date(), "hour": local.dt.truncate("1h")}
    return Frames(
        published.conversions.with_columns(**times),
        published.rejections.with_columns(**times),
        published.passthroughs,
        published.manifest,
        ruleset,
        zone,
    )


def has_issue(*codes: str) -> pl.Expr:
    """Whether a conversion has an issue with one of the codes."""
    return pl.any_horizontal(_CODES.list.contains(code) for code in codes)


def has_key_issue(*codes: str) -> pl.Expr:
    """Whether a conversion has an issue with one of the codes on the parameter of its match key."""
    return pl.any_horizontal(
        pl.col("issues")
        .list.eval(pl.when(pl.element().struct.field("code") == code).then(pl.element().struct.field("parameter")))
        .list.contains(pl.col("match_param"))
        for code in codes
    )


def with_issues(conversions: pl.LazyFrame, *codes: str) -> pl.LazyFrame:
    """Lists issues with one of the codes: the conversion's columns, and `code`, `parameter`, `detail`."""
    return (
        conversions.filter(pl.col("issues").list.len() > 0)
        .explode("issues")
        .unnest("issues")
        .filter(pl.col("code").is_in(codes))
    )


def sender_family() -> pl.Expr:
    """The program that a user agent names: `GuzzleHttp` for `GuzzleHttp/7`, a browser's name, `(none)` for null."""
    agent = pl.col("user_agent")
    return pl.coalesce(*(agent.str.extract(pattern) for pattern in _FAMILY), pl.lit("(none)")).alias("sender")


def sum_money(
    rows: pl.DataFrame, *keys: str, counts: Sequence[str] = (), money: Sequence[str] = ("value",)
) -> pl.DataFrame:
    """Sums rows by keys.

    Args:
        rows: The keys, `currency` and `event`, and the columns to sum.
        keys: Names of columns.
        counts: Names of columns of counts.
        money: Names of columns of money, each in the row's currency.

    Returns:
        The keys, the counts (Int64), and the money as `AMOUNTS`: the largest amount first, without zero and null.
    """
    sums = rows.group_by(list(dict.fromkeys((*keys, "currency", "event")))).agg(pl.col(*counts, *money).sum())
    by_currency = (
        sums.sort("currency", "event")
        .group_by(*keys, "currency", maintain_order=True)
        .agg(pl.col(*counts, *money).sum(), *(_by_event(name).alias(f"{name} by event") for name in money))
    )
    return by_currency.group_by(*keys, maintain_order=True).agg(
        *(pl.col(name).sum().cast(pl.Int64) for name in counts), *(_amounts(name).alias(name) for name in money)
    )


def _by_event(name: str) -> pl.Expr:
    """Collects the amounts of a currency by event."""
    value = pl.col(name).cast(MONEY)
    is_some = value.is_not_null() & (value != 0)
    pair = pl.struct(pl.col("event").fill_null("").alias("event"), value.alias("amount"))
    return pair.filter(is_some).sort_by(value.filter(is_some).abs(), descending=True)


def _amounts(name: str) -> pl.Expr:
    """Collects the amounts of a group by currency."""
    by_event, value = pl.col(f"{name} by event"), pl.col(name).cast(MONEY)
    whole = pl.struct(
        pl.col("currency").fill_null("").alias("currency"), value.alias("amount"), by_event.alias("by_event")
    )
    is_some = by_event.list.len() > 0
    return whole.filter(is_some).sort_by(value.filter(is_some).abs(), descending=True)


def joined_money(money: pl.Series) -> list[dict[str, Any]]:
    """Returns the sum of money in a column of `AMOUNTS`, as a cell of such a column."""
    rows = pl.DataFrame({"money": money}, schema={"money": AMOUNTS}).explode("money").unnest("money").drop("amount")
    rows = rows.drop_nulls("currency").explode("by_event").unnest("by_event").with_columns(whole=pl.lit(0))
    sums = sum_money(rows, "whole", money=("amount",))["amount"].to_list()
    return sums[0] if sums else []


def main_first(money: list[dict[str, Any]], currency: str | None) -> list[dict[str, Any]]:
    """Puts the amount in a currency before the others of a cell."""
    return sorted(money, key=lambda amount: amount["currency"] != currency)


def count_rows(frame: pl.LazyFrame, *keys: str, count: str = "conversions") -> pl.DataFrame:
    """Counts rows and sums their money by keys.

    Args:
        frame: Rows with the keys, `value`, `currency` and `event`.
        keys: Names of columns.
        count: Name of the column of counts.

    Returns:
        The keys, the count (Int64) and `money` (`AMOUNTS`); the highest count first, ties in the order of the keys.
    """
    sums = frame.group_by(list(dict.fromkeys((*keys, "currency", "event")))).agg(
        pl.len().cast(pl.Int64).alias(count), value=pl.col("value").filter(IS_SUMMABLE).sum()
    )
    return sum_currencies(read(sums), *keys, count=count)


def sum_currencies(sums: pl.DataFrame, *keys: str, count: str = "conversions") -> pl.DataFrame:
    """Sums rows of keys, event and currency to one row per combination of keys, as `count_rows` returns them."""
    found = sum_money(sums, *keys, counts=(count,)).rename({"value": "money"})
    return found.sort(count, *keys, descending=[True, *([False] * len(keys))], nulls_last=True)
