"""Describes one execution of a command, successful or not, for its metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple


class Attempt(NamedTuple):
    """One execution of a command.

    Attributes:
        command: Name of the command.
        target: The folder or warehouse that the command writes, as the user named it.
        ended_at: When the command ended, in seconds since the epoch.
        seconds: Duration.
        peak_memory_bytes: Peak memory.
        exit_code: Exit code.
        outcome: The summary of a run or the report of a load; None if nothing was published.
        last_success_at: End of the last success, this or an earlier execution; None if none is known.
    """

    command: str
    target: str
    ended_at: float
    seconds: float
    peak_memory_bytes: int
    exit_code: int
    outcome: dict[str, Any] | None
    last_success_at: float | None = None

    @property
    def is_success(self) -> bool:
        """Whether the command did its work, even if it rejected more records than allowed."""
        return self.exit_code in (0, 3)


def counts_of(outcome: dict[str, Any], what: str) -> dict[str, int]:
    """Returns rejections or skipped records by reason, from a summary or a report.

    Args:
        outcome: A summary of a run or a report of a load.
        what: `rejections` or `skipped`.
    """
    found = outcome[what]
    return dict(found["by_reason"] if isinstance(found, dict) else outcome[f"{what}_by_reason"])


def sum_reports(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Adds up the reports of several loads."""
    counted = ("records", "conversions", "items", "passthroughs", "rejections", "skipped", "demoted", "promoted")
    by_event = {event for report in reports for event in report["value_by_event"]}
    return {
        "inputs": [item for report in reports for item in report["inputs"]],
        "expected": [one for report in reports for one in report.get("expected", ())],
        **{name: sum(report[name] for report in reports) for name in counted},
        **{
            name: dict(sum((Counter(report[name]) for report in reports), Counter[str]()))
            for name in ("rejections_by_reason", "skipped_by_reason")
        },
        "value_total": _sum_values(report["value_total"] for report in reports),
        "value_by_event": {
            event: _sum_values(report["value_by_event"].get(event, {}) for report in reports)
            for event in sorted(by_event)
        },
        "peak_memory_bytes": max((report.get("peak_memory_bytes", 0) for report in reports), default=0),
    }


def _sum_values(values: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Adds up amounts by currency."""
    sums: dict[str, Decimal] = {}
    for amounts in values:
        for currency, value in amounts.items():
            sums[currency] = sums.get(currency, Decimal()) + Decimal(value)
    return {currency: f"{value:f}" for currency, value in sorted(sums.items())}
