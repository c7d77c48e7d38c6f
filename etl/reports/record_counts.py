"""Counts the records that were read of an input, and finds long silences between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple

import polars as pl

from etl.options import Options
from etl.rules import page
from etl.rules.ruleset import Ruleset
from etl.steps.address_columns import hide_in_columns
from etl.steps.pipeline import judge

#: A silence is a gap if it lasts longer than `GAP`, and longer than `GAP_FACTOR` times the mean time between records.
GAP: Final = timedelta(hours=1)
GAP_FACTOR: Final = 20

#: Faults of records that no format needs to match.
_WITHOUT_CONTENT: Final = ("blank", "comment", "header")
_SKIPS: Final = tuple(reason.code for reason in page.SKIPS)


class Gap(NamedTuple):
    """A silence, from the minute of the last record before it to the minute of the first record after it."""

    start: datetime
    end: datetime


@dataclass
class RecordCounts:
    """Counts of the records that were read of an input.

    Attributes:
        records: Number of records.
        malformed: Records that cannot be read.
        postbacks: Records that are postbacks.
        without_body: Postbacks whose body was not logged.
        skipped: Records that are not postbacks, by reason.
        methods: Postbacks by HTTP method.
        statuses: Postbacks by HTTP status.
        integrations: Postbacks by (account, integration).
        conversions: Postbacks that are conversions.
        rejections: Rejected records by reason.
        timed: Postbacks with a time of receipt.
        unread: Postbacks by the name of a parameter that the ruleset does not read.
        first: The earliest time of a record.
        last: The latest time of a record.
        minutes: For each part that was read without a break: records by minute since 1970.
    """

    records: int = 0
    malformed: int = 0
    postbacks: int = 0
    without_body: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    integrations: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    conversions: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    timed: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None
    minutes: list[Counter[int]] = field(default_factory=lambda: [Counter()])

    @property
    def matched(self) -> float | None:
        """The share of records that match the detected format; None if no record needs to match."""
        candidates = self.records - sum(self.skipped[reason] for reason in _WITHOUT_CONTENT)
        return (candidates - self.malformed) / candidates if candidates else None

    def add(self, requests: pl.DataFrame, ruleset: Ruleset) -> None:
        """Adds records to the counts.

        Args:
            requests: Rows of `schema.REQUESTS`.
            ruleset: The rules; the collect path separates postbacks from other requests.
        """
        judged = judge(requests, ruleset, Options())
        routed, rejections = judged.routed, judged.tables.rejections
        fault = routed["fault"]
        is_postback = fault.is_null() | fault.is_in(("malformed_body", "body_not_logged"))
        postbacks = routed.filter(is_postback)
        self.records += routed.height
        self.malformed += int((fault == "malformed_record").sum())
        self.postbacks += postbacks.height
        self.without_body += int((fault == "body_not_logged").sum())
        self.skipped.update(_value_counts(fault.filter(fault.is_in(_SKIPS).fill_null(False))))
        self.methods.update(_value_counts(postbacks["http_method"].drop_nulls()))
        self.statuses.update(_value_counts(postbacks["http_status"].drop_nulls().cast(pl.String)))
        owners = hide_in_columns(postbacks.group_by("account_id", "integration").len(), "hash")
        self.integrations.update({(account, slug): count for account, slug, count in owners.iter_rows()})
        self.conversions += judged.tables.conversions.height
        self.rejections.update(_value_counts(rejections["reason"]))
        self.timed += sum(int(rows["received_at"].count()) for rows in (judged.tables.conversions, rejections))
        for _, name, count in judged.tables.unrecognised.iter_rows():
            self.unread[name] += count
        self._add_times(routed["received_at"].drop_nulls())

    def _add_times(self, times: pl.Series) -> None:
        """Adds times of receipt to the time range and to the records by minute."""
        if times.is_empty():
            return
        first, last = (moment for moment in (times.min(), times.max()) if isinstance(moment, datetime))
        self.first = min(first, self.first or first)
        self.last = max(last, self.last or last)
        self.minutes[-1].update(_value_counts(times.cast(pl.Int64) // 60_000_000))

    def gaps(self) -> list[Gap]:
        """Finds the gaps within each part that was read without a break, sorted by time."""
        found = []
        for part in self.minutes:
            minutes = sorted(part)
            if len(minutes) > 1:
                usual = timedelta(minutes=(minutes[-1] - minutes[0]) / part.total())
                least = max(GAP, GAP_FACTOR * usual)
                found += [
                    Gap(_minute_start(a), _minute_start(b))
                    for a, b in pairwise(minutes)
                    if timedelta(minutes=b - a) > least
                ]
        return sorted(set(found))


def _value_counts(values: pl.Series) -> dict[Any, int]:
    return dict(values.value_counts().iter_rows())


def _minute_start(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)
