"""The report of a load: what was done with each input and why, and the counts of what was loaded."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

import polars as pl

from etl.runner.counts import Tally
from etl.runner.run import value_sums
from etl.warehouse.file_writer import WrittenPart
from etl.warehouse.load_decisions import Decision, describe_decision
from etl.warehouse.load_duplicates import DuplicateChanges

_NUMBERS: Final = ("records", "conversions", "items", "passthroughs", "rejections", "skipped")
_MOVES: Final = ("duplicates", "demoted", "promoted")
#: The counts of a load that reads no input.
_NOTHING: Final[dict[str, Any]] = dict.fromkeys((*_NUMBERS, *_MOVES), 0) | {
    name: {} for name in ("rejections_by_reason", "skipped_by_reason", "issues", "value_total", "value_by_event")
}


class LoadedRows(NamedTuple):
    """The rows of a load.

    Attributes:
        entries: Rows of `loads`.
        parts: The written files of new rows.
        duplicates: Changes of duplicates.
        peak_memory_bytes: Peak memory.
        surveyed: Number of records of each input by its survey; None where the survey does not show it.
    """

    entries: pl.DataFrame
    parts: list[WrittenPart]
    duplicates: DuplicateChanges
    peak_memory_bytes: int
    surveyed: dict[str, int | None]


def report_of(address: str, decisions: list[Decision]) -> dict[str, Any]:
    """Returns the report of a load that has not read any input."""
    inputs = [describe_decision(decision) for decision in decisions]
    return {"run_id": None, "warehouse": address, "inputs": inputs, **_NOTHING}


def with_unread(report: dict[str, Any]) -> dict[str, Any]:
    """Moves the counts of records and of unread postbacks to the inputs of a report."""
    counts = report.pop("by_digest", {})
    nothing = {"records": 0, "records_surveyed": 0, "unread_postbacks": 0}
    return {**report, "inputs": [{**item, **counts.get(item["digest"], nothing)} for item in report["inputs"]]}


def loaded_counts(done: LoadedRows) -> dict[str, Any]:
    """Returns what the report of a load shows: counts of records and rows, reasons, issues, values and peak memory.

    `demoted` counts earlier conversions that became duplicates, `promoted` earlier duplicates that became conversions.
    """
    tally = tally_of(done.parts)
    skipped = sum(
        (Counter({row["reason"]: row["count"]}) for counts in done.entries["skipped"] for row in counts), Counter[str]()
    )
    return {
        "records": done.entries["records"].sum(),
        **{name: tally.rows[name] for name in ("conversions", "items", "passthroughs")},
        "rejections": tally.reasons.total(),
        "rejections_by_reason": dict(sorted(tally.reasons.items())),
        "skipped": skipped.total(),
        "skipped_by_reason": dict(sorted(skipped.items())),
        "issues": dict(sorted(tally.issues.items())),
        **value_sums(tally.values),
        "duplicates": done.duplicates.new.height,
        "demoted": done.duplicates.demoted.height,
        "promoted": done.duplicates.promoted.height,
        "peak_memory_bytes": done.peak_memory_bytes,
        "by_digest": {
            row["digest"]: {
                "records": row["records"],
                "records_surveyed": done.surveyed[row["digest"]],
                "unread_postbacks": _count_of(row["rejections"]),
            }
            for row in done.entries.select("digest", "records", "rejections").iter_rows(named=True)
        },
    }


def tally_of(parts: list[WrittenPart]) -> Tally:
    """Counts the rows of all parts."""
    tally = Tally()
    for part in parts:
        tally += part.tally
    return tally


def _count_of(rejections: list[dict[str, Any]]) -> int:
    """Returns how many of an input's rejections, by reason, are postbacks that were not read."""
    return sum(one["count"] for one in rejections if one["reason"] == "unread_postback")
