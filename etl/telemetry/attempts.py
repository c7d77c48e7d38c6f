"""One call of a command, however it ended: what metrics say of it."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any, NamedTuple


class Attempt(NamedTuple):
    """One call of a command.

    Attributes:
        command: Its name.
        target: The folder or warehouse that it writes, as it was said.
        ended_at: Seconds since the epoch.
        seconds: How long it took.
        peak_memory_bytes: The most memory it held.
        exit_code: With which it ends.
        outcome: The summary of a run or the report of a load; None if nothing was published.
        last_success_at: When the last one that did its work ended, this or an earlier one; None if none is known.
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
        """Whether it did its work, even if more was rejected than is allowed."""
        return self.exit_code in (0, 3)


def counts_of(outcome: dict[str, Any], what: str) -> dict[str, int]:
    """Rejections or skips by reason, of a summary or a report."""
    found = outcome[what]
    return dict(found["by_reason"] if isinstance(found, dict) else outcome[f"{what}_by_reason"])


def sum_reports(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The reports of many loads as one."""
    counted = ("records", "conversions", "items", "passthroughs", "rejections", "skipped", "demoted", "promoted")
    values: dict[str, Decimal] = {}
    for report in reports:
        for currency, value in report["value_total"].items():
            values[currency] = values.get(currency, Decimal()) + Decimal(value)
    return {
        "inputs": [item for report in reports for item in report["inputs"]],
        **{name: sum(report[name] for report in reports) for name in counted},
        **{
            name: dict(sum((Counter(report[name]) for report in reports), Counter[str]()))
            for name in ("rejections_by_reason", "skipped_by_reason")
        },
        "value_total": {currency: f"{value:f}" for currency, value in sorted(values.items())},
        "peak_memory_bytes": max((report.get("peak_memory_bytes", 0) for report in reports), default=0),
    }
