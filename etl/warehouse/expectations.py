"""Compares the postbacks of a load, by integration, with those of the same weekdays before: was too little loaded?

The period of an input begins with its first postback. It is as long as the input, and at least as long as the inputs
before it usually are: so a log that ends too early is noticed. All postbacks of this period that the warehouse holds
count, whichever inputs brought them. Their number is compared with the median of the same period in the four weeks
before, as far as the warehouse reaches back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final, NamedTuple

import polars as pl

from etl.runner.published_tables import read
from etl.warehouse.load_decisions import SKIP
from etl.warehouse.snapshots import Warehouse, open_for_reading, scan_pinned
from etl.warehouse.table_layout import RECEIVED_DATE

_WEEK: Final = timedelta(days=7)
_WEEKS: Final = (4, 3, 2, 1)

#: An integration that usually has fewer postbacks is not compared: chance alone would halve them.
LEAST_POSTBACKS: Final = 20


class Expected(NamedTuple):
    """The postbacks of an integration in a period, and the number that the same weekdays before had."""

    account_id: str | None
    integration: str
    since: datetime
    until: datetime
    postbacks: int
    expected: float

    @property
    def name(self) -> str:
        """The integration with its account."""
        return f"{self.account_id}/{self.integration}" if self.account_id else self.integration

    @property
    def share(self) -> float:
        """The postbacks as a share of those that are expected."""
        return self.postbacks / self.expected


def compare_with_weeks_before(address: str, report: dict[str, Any]) -> list[Expected]:
    """Returns, for each integration that the warehouse knows from the weeks before, its worst period of a load.

    Args:
        address: The warehouse.
        report: The report of the load.
    """
    digests = [item["digest"] for item in report["inputs"] if item["action"] != SKIP]
    if not digests:
        return []
    warehouse = open_for_reading(address)
    loads = read(
        scan_pinned(warehouse, "loads").select(
            is_new=pl.col("digest").is_in(digests), first="first_received_at", last="last_received_at"
        )
    ).drop_nulls()
    periods = _periods(loads)
    oldest = min(loads["first"].to_list(), default=None)
    counts = _counts(warehouse, [shifted for period in periods for shifted in _shifted(period)])
    worst: dict[tuple[str | None, str], Expected] = {}
    for since, until in periods:
        weeks = [(a, b) for a, b in _shifted((since, until)) if a == since or (oldest and a >= oldest)]
        for (account, integration), numbers in _by_integration(counts, weeks):
            known = numbers[next(i for i, number in enumerate(numbers) if number) :]
            expected = median(known[:-1]) if len(known) > 1 else 0
            found = Expected(account, integration, since, until, numbers[-1], expected)
            key = account, integration
            if expected >= LEAST_POSTBACKS and (key not in worst or found.share < worst[key].share):
                worst[key] = found
    return [worst[key] for key in sorted(worst, key=lambda key: (key[0] or "", key[1]))]


def _periods(loads: pl.DataFrame) -> list[tuple[datetime, datetime]]:
    """Returns the periods of the new inputs, but of none that is longer than a week."""
    periods = set()
    spans = loads.filter(~pl.col("is_new")).select("first", span=pl.col("last") - pl.col("first"))
    now = datetime.now(UTC)
    for first, last in loads.filter("is_new").select("first", "last").iter_rows():
        before = spans.filter(pl.col("first") < first).sort("first").tail(7 * len(_WEEKS))["span"].to_list()
        usual = median(before) if before else None
        until = max(last, min(first + (usual or timedelta()), now))
        if until - first <= _WEEK:
            periods.add((first, until))
    return sorted(periods)


def _shifted(period: tuple[datetime, datetime]) -> Iterable[tuple[datetime, datetime]]:
    """Yields a period of each week before, the earliest first, and the period itself."""
    return [(period[0] - week * _WEEK, period[1] - week * _WEEK) for week in (*_WEEKS, 0)]


def _counts(warehouse: Warehouse, periods: list[tuple[datetime, datetime]]) -> pl.DataFrame:
    """Counts postbacks by account, integration and time, on the days of the periods."""
    days = {
        since.date() + timedelta(days=number)
        for since, until in periods
        for number in range((until.date() - since.date()).days + 1)
    }
    owner = ("account_id", "integration", "received_at")
    rows = [
        scan_pinned(warehouse, table)
        .filter(pl.col(RECEIVED_DATE.name).is_in(sorted(days)), pl.col("integration").is_not_null())
        .group_by(owner)
        .agg(pl.len().alias("count"))
        for table in ("conversions", "rejections")
    ]
    return read(pl.concat(rows))


def _by_integration(
    counts: pl.DataFrame, periods: list[tuple[datetime, datetime]]
) -> Iterable[tuple[tuple[Any, Any], list[int]]]:
    """Yields each integration with its number of postbacks in each period; those without any are left out."""
    at = pl.col("received_at")
    numbers = counts.group_by("account_id", "integration").agg(
        pl.col("count").filter(at.is_between(since, until)).sum().alias(str(number))
        for number, (since, until) in enumerate(periods)
    )
    for account, integration, *found in numbers.iter_rows():
        if any(found):
            yield (account, integration), found
