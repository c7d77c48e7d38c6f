"""Refuses inputs of which too few records match the format that was detected."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import FormatError
from etl.privacy.redaction import redact_raws
from etl.runner.tasks import ALL_MATCHED, Task, TaskReport, Unmatched
from etl.sources.splits import Split

#: The least share of an input's records that must match its detected format, and how many may fail to match anyway.
MIN_MATCHED: Final = 0.9
MAX_UNMATCHED: Final = 5


def refuse_unmatched(
    tasks: list[Task], reports: list[TaskReport], min_matched: float | None, *, is_detected: bool
) -> None:
    """Checks that enough records of each input match its format.

    Args:
        tasks: The tasks.
        reports: Their reports.
        min_matched: The share that must match; None: nine tenths, if the format was detected.
        is_detected: Whether formats were detected, and not named.

    Raises:
        FormatError: Too few records of an input match.
    """
    if min_matched is None and not is_detected:
        return
    least, tolerated = (MIN_MATCHED, MAX_UNMATCHED) if min_matched is None else (min_matched, 0)
    by_source: dict[str, tuple[Task, Split, Unmatched]] = {}
    for task, report in zip(tasks, reports, strict=True):
        for split in task.splits:
            *_, before = by_source.get(split.source, (task, split, ALL_MATCHED))
            by_source[split.source] = task, split, before + report.counts[split.source_digest].unmatched
    for task, split, found in by_source.values():
        matched = found.candidates - found.records
        if found.records > tolerated and matched < least * found.candidates:
            raise _unmatched_error(task, split, found)


def _unmatched_error(task: Task, split: Split, found: Unmatched) -> FormatError:
    """Returns the error for an input of which too few records match, with the first of these, redacted."""
    matched = found.candidates - found.records
    first = pl.DataFrame(found.first, {"record_no": pl.Int64, "raw": pl.String, "layout": pl.String}, orient="row")
    shown = redact_raws(first["raw"], task.options.pii, task.ruleset, first["layout"], first["raw"].is_not_null())
    listed = "; ".join(f"record {number} {raw[:60]!r}" for number, raw in zip(first["record_no"], shown, strict=True))
    return FormatError(
        f"{split.source} was read as {split.row.name}, but only {matched:,} of {found.candidates:,} records match "
        f"that format. The first that do not: {listed}.",
        f"Name the format by --format or --log-format, or accept these records by --min-matched "
        f"{100 * matched // found.candidates}%.",
    )
