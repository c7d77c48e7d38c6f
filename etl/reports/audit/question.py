"""Defines an answer: what it counts, what it finds, how it is shown, and what the tables cannot show."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

import polars as pl

from etl.reports.audit.tables import Frames, main_first


class Chart(NamedTuple):
    """How a frame is drawn.

    Attributes:
        kind: `bars` (one bar per row), `days` (one column per day), or `heat_map` (days as rows, hours as columns).
        label: Columns that label a bar, joined.
        series: Columns of numbers, stacked.
        title: What is drawn; screen readers read it.
        meaning: The measure whose style a single series has; empty: that of its column.
    """

    kind: str
    label: tuple[str, ...]
    series: tuple[str, ...]
    title: str
    meaning: str = ""


class Sheet(NamedTuple):
    """A frame that an answer shows: its key among the findings, its title, its chart."""

    key: str
    title: str
    chart: Chart | None = None


class Totals(NamedTuple):
    """Sums of measures over all days and integrations.

    Attributes:
        counts: Counts by measure.
        money: Money by measure and currency.
        origin: A sentence that names the integration of most records which are lost, after a blank; empty if none is.
    """

    counts: dict[str, int]
    money: dict[str, list[dict[str, Any]]]
    origin: str

    @classmethod
    def of(cls, rows: pl.DataFrame, currency: str | None, origin: str = "") -> Totals:
        """Takes the sums from rows of `measures.TOTALS`; the amounts in a currency come first."""
        counts = dict(zip(rows["measure"], rows["count"], strict=True))
        money = (main_first(amounts or [], currency) for amounts in rows["money"].to_list())
        return cls(counts, dict(zip(rows["measure"], money, strict=True)), origin)

    def count_text(self, name: str) -> str:
        """Formats the count of a measure."""
        return f"{self.counts[name]:,}"

    def worth(self, name: str) -> str:
        """Formats the money of a measure as `, worth EUR 12.50`; empty if there is no money."""
        return f", worth {money_text(self.money[name])}" if self.money[name] else ""

    def share(self, name: str, base: str) -> str:
        """Formats the count of a measure as a share of the count of a base measure."""
        return share_text(self.counts[name], self.counts[base])


Findings = dict[str, pl.DataFrame]

#: More amounts than any list of money has.
ALL_AMOUNTS: Final = 1_000_000


class Answer(NamedTuple):
    """A question that the tables answer.

    Attributes:
        key: The answer's name for programs.
        title: The answer's name for people.
        question: The question.
        base: Name of the measure that shares are a part of.
        measures: Names of the measures to show: their totals, by integration and by day.
        find: Makes the frames of `sheets`, by key, from the tables. Its frame `days` holds measures of its own.
        sheets: Frames to show beside the measures, in order.
        days_chart: Names of the measures to draw by day, stacked; empty: no such chart.
        summarise: Makes sentences from the totals and the findings. The first says what is lost or, if nothing is, what
            was found.
        unknown: What the tables cannot show; empty: no such limit.
        losses: Names of the measures that count records which are lost or misread; empty: the answer finds none.
        cure: What would keep such records.
        cure_of: Says it of the totals and the findings, where it depends on what was found; None: `cure` is said.
        is_amiss: Whether the findings show a loss that no record tells, such as silence.
    """

    key: str
    title: str
    question: str
    base: str
    measures: tuple[str, ...]
    find: Callable[[Frames], Findings]
    sheets: tuple[Sheet, ...]
    days_chart: tuple[str, ...]
    summarise: Callable[[Totals, Findings], list[str]]
    unknown: str = ""
    losses: tuple[str, ...] = ()
    cure: str = ""
    cure_of: Callable[[Totals, Findings], str] | None = None
    is_amiss: Callable[[Findings], bool] = lambda _: False


_MOST_CURRENCIES: Final = 3


def share_of_origin(count: int, of: int) -> str:
    """Says which part of all records come from one place.

    Examples:
        >>> share_of_origin(1, 1), share_of_origin(535, 535)
        ('It comes', 'All 535 come')
        >>> share_of_origin(61, 66), share_of_origin(20, 66)
        ('Most (61 of 66 records) come', '20 of 66 records come')
    """
    if count == of:
        return "It comes" if of == 1 else f"All {of:,} come"
    part = f"{count:,} of {of:,} records"
    return f"Most ({part}) come" if 2 * count > of else f"{part} come"


def amount_text(value: Decimal) -> str:
    """Formats an amount with at least two decimals: `1,234.50`."""
    plain = value.normalize()
    digits = max(2, -int(plain.as_tuple().exponent)) if plain else 2
    return f"{value:,.{digits}f}"


def money_text(money: list[dict[str, Any]] | None, most: int = _MOST_CURRENCIES) -> str:
    """Formats amounts by currency: `EUR 1,234.50, USD 7.00 and 2 more`.

    The amounts of a currency in which several events have money stand by event: `Purchase EUR 70.00, Refund EUR 70.00`.
    """
    parts = [part for whole in money or [] for part in _parts(whole)]
    rest = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + rest


def _parts(whole: dict[str, Any]) -> list[str]:
    """Formats the money of a currency: one amount, or one per event."""
    currency = whole["currency"] or "no currency"
    if len(whole["by_event"]) < 2:
        return [f"{currency} {amount_text(whole['amount'])}"]
    return [f"{part['event'] or 'no event'} {currency} {amount_text(part['amount'])}" for part in whole["by_event"]]


def amount_lines(whole: dict[str, Any]) -> list[str]:
    """Formats the money of a currency without its name: `1,234.50`, or one text per event, `Purchase 70.00`."""
    if len(whole["by_event"]) < 2:
        return [amount_text(whole["amount"])]
    return [f"{part['event'] or 'no event'} {amount_text(part['amount'])}" for part in whole["by_event"]]


def share_text(count: int, of: int) -> str:
    """Formats a share in percent: `12.3 %`; `0 %` if the base is zero."""
    return percent_text(count / of if of else 0)


def percent_text(share: float) -> str:
    """Formats a share from 0 to 1 in percent; what is under 0.1 % but not zero says so."""
    percent = 100 * share
    return "0 %" if not percent else "under 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %"
