"""Proves that reading found the records that the survey counted, for each input and each split."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from etl.errors import AccountingError
from etl.runner.stage_inputs import PlannedInput
from etl.runner.tasks import Task, TaskReport


def records_of(reports: list[TaskReport]) -> Counter[str]:
    """Returns the number of records that were read, by the digest of their input."""
    records: Counter[str] = Counter()
    for report in reports:
        for digest, counts in report.counts.items():
            records[digest] += counts.records
    return records


def check_records(planned: list[PlannedInput], tasks: list[Task], reports: list[TaskReport]) -> None:
    """Checks that each input, and each of its splits, had as many records as the survey counted.

    Raises:
        AccountingError: An input or a split had more or fewer records.
    """
    read = records_of(reports)
    for plan in planned:
        found = read[plan.survey.digest]
        if plan.records not in (None, found):
            raise AccountingError(
                f"{plan.input.source} has {plan.records:,} records by its survey, but {found:,} were read.",
                "Report this with the input.",
            )
    for (task, report), (following, _) in pairwise(zip(tasks, reports, strict=True)):
        split, after = task.splits[-1], following.splits[0]
        found, expected = report.counts[split.source_digest].records, after.first_record - split.first_record
        if split.source_digest == after.source_digest and found != expected:
            raise AccountingError(
                f"{split.source}: {expected:,} records begin in the bytes {split.start:,} to {split.end:,} by the "
                f"survey, but {found:,} were read.",
                "Report this with the input.",
            )
