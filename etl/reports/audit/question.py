"""What an answer is: a row that says what it counts, what it finds, how it is shown and what it cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

import polars as pl

from etl.reports.audit.tables import Frames


class Chart(NamedTuple):
    """How a sheet is drawn.

    Attributes:
        kind: `bars` (the longest first), `days` (a column a day), or `heat_map` (a row a day, a column an hour).
        label: Columns that name a bar, joined.
        series: Columns of numbers, drawn one on another.
        title: What is drawn, for those who cannot see it too.
    """

    kind: str
    label: tuple[str, ...]
    series: tuple[str, ...]
    title: str


class Sheet(NamedTuple):
    """A frame that an answer shows: its key among what was found, its title, its chart."""

    key: str
    title: str
    chart: Chart | None = None


class Whole(NamedTuple):
    """The measures of the whole: counts, and money by currency."""

    counts: dict[str, int]
    money: dict[str, list[dict[str, object]]]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Whole:
        """From rows of `levels.WHOLE`."""
        counts = dict(zip(rows["measure"], rows["count"], strict=True))
        return cls(counts, dict(zip(rows["measure"], (money or [] for money in rows["money"].to_list()), strict=True)))

    def n(self, name: str) -> str:
        """A count in words."""
        return f"{self.counts[name]:,}"

    def worth(self, name: str) -> str:
        """`, worth EUR 12.50`, or nothing where there is no money."""
        return f", worth {money_text(self.money[name])}" if self.money[name] else ""

    def share(self, name: str, base: str) -> str:
        """A count as a share of another."""
        return share_text(self.counts[name], self.counts[base])


Found = dict[str, pl.DataFrame]


class Answer(NamedTuple):
    """A question that the tables answer.

    Attributes:
        key: Its name for programs.
        title: Its name for people.
        question: What is asked.
        base: The measure that shares are of.
        measures: What is counted of the whole, by integration and by day.
        find: Frames to its sheets by key; `days` among them holds measures that it counts itself.
        sheets: What it shows beside its measures, in order.
        days_chart: The measures that are drawn by day, one on another; none: no such chart.
        says: The whole and what was found to sentences; the first is the answer.
        unknown: What the tables cannot tell; empty: nothing.
    """

    key: str
    title: str
    question: str
    base: str
    measures: tuple[str, ...]
    find: Callable[[Frames], Found]
    sheets: tuple[Sheet, ...]
    days_chart: tuple[str, ...]
    says: Callable[[Whole, Found], list[str]]
    unknown: str = ""


_MOST_CURRENCIES: Final = 3


def amount_text(value: Decimal) -> str:
    """An amount with two digits, or as many as it has: `1,234.50`."""
    plain = value.normalize()
    digits = max(2, -int(plain.as_tuple().exponent)) if plain else 2
    return f"{value:,.{digits}f}"


def money_text(money: list[dict[str, object]] | None, most: int = _MOST_CURRENCIES) -> str:
    """Amounts by currency in one line: `EUR 1,234.50, USD 7.00 and 2 more`."""
    parts = [f"{one['currency'] or 'no currency'} {amount_text(Decimal(str(one['amount'])))}" for one in money or []]
    rest = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + rest


def share_text(count: int, of: int) -> str:
    """A share in percent: `12.3 %`; `0 %` of nothing."""
    if not of or not count:
        return "0 %"
    share = 100 * count / of
    return "under 0.1 %" if share < 0.1 else f"{share:.1f} %"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count and its noun: `1 file`, `2 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
