"""The tables as the answers read them, and the words their expressions are made of."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import polars as pl

from etl.rules.ruleset import Ruleset
from etl.runner.published_tables import Published, read
from etl.schema import MONEY, SUMMABLE

#: Whose an answer's rows are: the path's two parts.
WHOSE: Final = ("account_id", "integration")

#: An amount of money in one currency. Amounts of several currencies are never added.
AMOUNTS: Final = pl.List(pl.Struct({"currency": pl.String(), "amount": MONEY}))

IS_SUMMABLE: Final = pl.col("value").abs() < SUMMABLE
_CODES: Final = pl.col("issues").list.eval(pl.element().struct.field("code"))

#: What a user agent's words say: a bot or tool that names itself, a browser, else the first word.
_FAMILY: Final = (
    r"compatible; ?([^/;,)\s]{1,40})",
    r"(?:^Mozilla/.*)(Edg|OPR|Firefox|Chrome)/",
    r"^(Mozilla)/",
    r"^([^/\s(;,]{1,40})",
)


class Frames(NamedTuple):
    """What answers are made from.

    Attributes:
        conversions: The table, with `day` and `hour` (its hour's beginning) of received_at in the zone.
        rejections: The table, likewise.
        passthroughs: The table.
        manifest: What the run counted.
        ruleset: The rules the tables were made by, or the page's where these are not at hand.
        zone: IANA name of the zone of days and hours.
    """

    conversions: pl.LazyFrame
    rejections: pl.LazyFrame
    passthroughs: pl.LazyFrame
    manifest: dict[str, Any]
    ruleset: Ruleset
    zone: str


def frames_of(published: Published, ruleset: Ruleset, zone: str) -> Frames:
    """The published tables with their days and hours."""
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
    """Whether a conversion has an issue of one of the codes."""
    return pl.any_horizontal(_CODES.list.contains(code) for code in codes)


def has_key_issue(*codes: str) -> pl.Expr:
    """Whether a conversion has an issue of one of the codes about the parameter that gave its match key."""
    return pl.any_horizontal(
        pl.col("issues")
        .list.eval(pl.when(pl.element().struct.field("code") == code).then(pl.element().struct.field("parameter")))
        .list.contains(pl.col("match_param"))
        for code in codes
    )


def with_issues(conversions: pl.LazyFrame, *codes: str) -> pl.LazyFrame:
    """One row an issue of one of the codes: its conversion's columns, and `code`, `parameter`, `detail`."""
    return (
        conversions.filter(pl.col("issues").list.len() > 0)
        .explode("issues")
        .unnest("issues")
        .filter(pl.col("code").is_in(codes))
    )


def sender_family() -> pl.Expr:
    """The program a user agent names: `GuzzleHttp` of `GuzzleHttp/7`, `Chrome` of a browser's; `(none)` for null."""
    agent = pl.col("user_agent")
    return pl.coalesce(*(agent.str.extract(pattern) for pattern in _FAMILY), pl.lit("(none)")).alias("sender")


def amounts(value: pl.Expr, currency: str = "currency") -> pl.Expr:
    """The sums of a group by currency as `AMOUNTS`, the largest first; for frames that hold one row a currency."""
    pair = pl.struct(pl.col(currency).fill_null("").alias("currency"), value.cast(MONEY).alias("amount"))
    is_some = value.is_not_null() & (value != 0)
    return pair.filter(is_some).sort_by(value.filter(is_some).abs(), descending=True)


def counted(frame: pl.LazyFrame, *keys: str, count: str = "conversions") -> pl.DataFrame:
    """How many rows each combination of keys has, and their money, the most first.

    Args:
        frame: With the keys, `value` and `currency`.
        keys: Columns.
        count: What to call the number of rows.

    Returns:
        The keys, the count (Int64) and `money` (`AMOUNTS`). Ties are in the order of the keys.
    """
    by_currency = read(
        frame.group_by(*keys, "currency").agg(
            pl.len().cast(pl.Int64).alias(count), value=pl.col("value").filter(IS_SUMMABLE).sum()
        )
    )
    return total(by_currency, *keys, count=count)


def total(by_currency: pl.DataFrame, *keys: str, count: str = "conversions") -> pl.DataFrame:
    """Rows of one currency each as one row a combination of keys; see `counted`."""
    return (
        by_currency.sort("currency")
        .group_by(*keys, maintain_order=True)
        .agg(pl.col(count).sum(), money=amounts(pl.col("value")))
        .sort(count, *keys, descending=[True, *([False] * len(keys))], nulls_last=True)
    )
