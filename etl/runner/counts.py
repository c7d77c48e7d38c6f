"""Counts the rows of the written tables, for the summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Self

import polars as pl

from etl.schema import SUMMABLE


@dataclass
class Tally:
    """Counts of written rows.

    Attributes:
        rows: Rows by table.
        reasons: Rejections by reason.
        issues: Issues of conversions by code.
        ends: Rows by source and reason; the reason of conversions is "".
        timed: Conversions and rejections with a time of receipt, by source.
        unlogged: POST requests without a logged body, by source.
        unread: Postbacks that were not read, by source.
        first: The earliest time of receipt; None if no row has one.
        last: The latest, likewise.
        values: Sum of the conversions' values by event and currency; a conversion without a currency has "".
    """

    rows: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    issues: Counter[str] = field(default_factory=Counter)
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    timed: Counter[str] = field(default_factory=Counter)
    unlogged: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    values: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None

    @classmethod
    def of(cls, tables: dict[str, pl.DataFrame]) -> Self:
        """Counts the rows of the four tables."""
        rejections, conversions = tables["rejections"], tables["conversions"]
        unlogged, unread = (
            _value_counts(rejections.filter(pl.col("reason") == reason)["source"])
            for reason in ("body_not_logged", "unread_postback")
        )
        codes = conversions["issues"].explode(empty_as_null=False).struct.field("code")
        rows = Counter({name: rows.height for name, rows in tables.items()})
        tally = cls(rows, _value_counts(rejections["reason"]), _value_counts(codes), unlogged=unlogged, unread=unread)
        columns = ("source", "reason", "received_at")
        rows_of_both = pl.concat(
            [conversions.select("source", pl.lit("").alias("reason"), "received_at"), rejections.select(columns)]
        )
        at = pl.col("received_at")
        counts = rows_of_both.group_by("source", "reason").agg(
            n=pl.len(), timed=at.count(), first=at.min(), last=at.max()
        )
        for source, reason, number, timed, first, last in counts.iter_rows():
            tally.ends[source, reason] += number
            tally.timed[source] += timed
            tally._add_times(first, last)
        tally._add_values(_value_sums(conversions))
        return tally

    def __iadd__(self, other: Tally) -> Self:
        for name in ("rows", "reasons", "issues", "ends", "timed", "unlogged", "unread"):
            getattr(self, name).update(getattr(other, name))
        self._add_values(other.values.items())
        self._add_times(other.first, other.last)
        return self

    def _add_times(self, *times: datetime | None) -> None:
        """Widens the period from `first` to `last`."""
        known = [time for time in (self.first, self.last, *times) if time is not None]
        self.first, self.last = min(known, default=None), max(known, default=None)

    def _add_values(self, values: Iterable[tuple[tuple[str, str], Decimal]]) -> None:
        """Adds sums by event and currency to `values`."""
        for key, value in values:
            self.values[key] = self.values.get(key, Decimal(0)) + value


def _value_counts(texts: pl.Series) -> Counter[str]:
    """Counts how often each text occurs."""
    return Counter(dict(texts.value_counts().iter_rows()))


def _value_sums(conversions: pl.DataFrame) -> Iterable[tuple[tuple[str, str], Decimal]]:
    """Yields the sums by event and currency, and each value above `SUMMABLE` on its own."""
    is_small = pl.col("value").abs() < SUMMABLE
    valued = conversions.drop_nulls("value").select("event", pl.col("currency").fill_null(""), "value")
    sums = valued.filter(is_small).group_by("event", "currency").agg(pl.col("value").sum())
    for event, currency, value in (*sums.iter_rows(), *valued.filter(~is_small).iter_rows()):
        yield (event, currency), value
