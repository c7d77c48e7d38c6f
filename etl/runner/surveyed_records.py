"""Proves that reading found the records that the survey counted, for each input and each split."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from etl.errors import AccountingError
from etl.runner.stage_inputs import PlannedInput
from etl.runner.tasks import Task, TaskReport


def records_of(tasks: list[Task], reports: list[TaskReport]) -> Counter[str]:
    """Returns the number of records that were read, by the digest of their input."""
    records: Counter[str] = Counter()
    for task, report in zip(tasks, reports, strict=True):
        records[task.split.source_digest] += report.records
    return records


def check_records(planned: list[PlannedInput], tasks: list[Task], reports: list[TaskReport]) -> None:
    """Checks that each input, and each of its splits, had as many records as the survey counted.

    Raises:
        AccountingError: An input or a split had more or fewer records.
    """
    read = records_of(tasks, reports)
    for plan in planned:
        found = read[plan.survey.digest]
        if plan.records not in (None, found):
            raise AccountingError(
                f"{plan.input.source} has {plan.records:,} records by its survey, but {found:,} were read.",
                "Report this with the input.",
            )
    for (task, report), (following, _) in pairwise(zip(tasks, reports, strict=True)):
        split, expected = task.split, following.split.first_record - task.split.first_record
        if split.source_digest == following.split.source_digest and report.records != expected:
            raise AccountingError(
                f"{split.source}: {expected:,} records begin in the bytes {split.start:,} to {split.end:,} by the "
                f"survey, but {report.records:,} were read.",
                "Report this with the input.",
            )
