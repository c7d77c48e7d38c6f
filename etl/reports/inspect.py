"""Reports each input's format, the share of matching records, its time range, long gaps, and postbacks by account.

By default only a sample of an input is read: several parts of a plain file of lines, or the beginning of any other
input. Nothing is written.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from etl.errors import EtlError, MissingInputError
from etl.reports.record_counts import RecordCounts
from etl.rules.ruleset import Ruleset
from etl.rules.vendors.recognition import Signature, recognise_input
from etl.runner.quiet_inputs import Ends, find_warnings, warn_of_passed_over
from etl.runner.stage_inputs import SILENT, PlannedInput, Progress, RunRequest
from etl.sources.detection import Detected
from etl.sources.format import LINES, PARQUET
from etl.sources.planning import SPLIT_BYTES, describe_times, find_format, plan_splits
from etl.sources.readers import parquet_tables
from etl.sources.splits import Split, read_split
from etl.sources.storage.decompress import open_decompressed
from etl.sources.storage.inputs import Input, found_inputs, is_missing
from etl.sources.storage.locations import is_seekable
from etl.sources.storage.surveys import Survey, survey, survey_beginning

#: Size of a sample: the beginning of an input, or windows spread over it.
HEAD_BYTES: Final = 4 * 2**20
WINDOWS: Final = 8
WINDOW_BYTES: Final = HEAD_BYTES // WINDOWS


class Inspection(NamedTuple):
    """The report on one input.

    Attributes:
        input: The input.
        detected: Its format.
        survey: Its size and compression.
        is_whole: Whether all of the input was read; otherwise `counts` are those of a sample.
        records: How many records the input holds; an estimate if it was not read whole.
        time: How its times are read.
        counts: Counts of the records that were read.
        warnings: What a person should know of the records that were read.
        looks_like: What its postbacks look like, and how many of those that were read.
    """

    input: Input
    detected: Detected
    survey: Survey
    is_whole: bool
    records: int
    time: str
    counts: RecordCounts
    warnings: tuple[str, ...]
    looks_like: tuple[Signature, int] | None = None

    @property
    def path(self) -> str:
        """Name of the input."""
        return self.input.source

    def as_data(self) -> dict[str, Any]:
        """Converts the report to dicts and lists."""
        counts, row = self.counts, self.detected.row
        return {
            "path": self.path,
            "carrier": ", ".join(self.detected.carriers) or None,
            "format": row.name,
            "what": row.what,
            "matched": counts.matched,
            "columns": dict(self.detected.columns),
            "compression": self.survey.codec,
            "bytes": self.survey.stored_bytes,
            "decompressed_bytes": self.survey.plain_bytes,
            "is_sample": not self.is_whole,
            "records": self.records,
            "records_read": counts.records,
            "time": {"zone": self.time, "first": counts.first, "last": counts.last},
            "gaps": [{"start": gap.start, "end": gap.end} for gap in counts.gaps()],
            "postbacks": counts.postbacks,
            "looks_like": self.looks_like and {"ruleset": self.looks_like[0].ruleset, "postbacks": self.looks_like[1]},
            "skipped": dict(sorted(counts.skipped.items())),
            "malformed_records": counts.malformed,
            "bodies_not_logged": counts.without_body,
            "methods": _most_frequent_first(counts.methods),
            "statuses": _most_frequent_first(counts.statuses),
            "integrations": [
                {"account_id": account, "integration": integration, "postbacks": count}
                for (account, integration), count in counts.integrations.most_common()
            ],
            "warnings": list(self.warnings),
        }


class Failure(NamedTuple):
    """An input that cannot be inspected, with the error."""

    input: Input
    error: EtlError

    @property
    def path(self) -> str:
        """Name of the input."""
        return self.input.source

    def as_data(self) -> dict[str, Any]:
        """Converts the failure to a dict."""
        return {"path": self.path, "problem": self.error.problem, "hint": self.error.hint}


def inspect_inputs(
    request: RunRequest, progress: Progress = SILENT, *, is_full: bool = False
) -> Iterator[Inspection | Failure]:
    """What each of the inputs holds, in their order. An input that cannot be inspected does not hide the others.

    Args:
        request: The inputs, how they are read, and the rules.
        progress: Receives a warning of what was found and is not read.
        is_full: Whether all of an input is read.

    Raises:
        EtlError: An argument names nothing.
    """
    for name in filter(is_missing, request.inputs):
        yield Failure(Input(name, Path(name)), MissingInputError(f"{name} does not exist.", "Check the name."))
    present = [name for name in request.inputs if not is_missing(name)]
    with found_inputs(present, Path(os.devnull)) as (inputs, passed_over):
        warn_of_passed_over(passed_over, progress)
        for item in inputs:
            try:
                yield _inspect_input(item, request, is_full=is_full)
            except EtlError as error:
                yield Failure(item, error)


def _inspect_input(item: Input, request: RunRequest, *, is_full: bool) -> Inspection:
    """Inspects one input; an input that fits in the sample is read whole."""
    reading, ruleset = request.reading, request.ruleset
    if is_full:
        surveyed, is_whole = survey(item.path, item.source, SPLIT_BYTES), True
    else:
        surveyed, is_whole = survey_beginning(item.path, item.source, HEAD_BYTES)
    detected = find_format(item, surveyed.codec, surveyed.samples, reading)
    splits = list(plan_splits(item, surveyed, detected, reading))
    counts = RecordCounts()
    if is_whole:
        for split in splits:
            for requests, _ in read_split(split):
                counts.add(requests, ruleset)
        records = counts.records
    else:
        read_bytes = _read_sample(splits[0], counts, ruleset)
        records = round(counts.records * surveyed.plain_bytes / read_bytes) if read_bytes else 0
    if detected.framing == PARQUET:
        with open_decompressed(item.path, surveyed.codec, item.source) as (stream, _):
            records = parquet_tables.count_rows(stream, item.source)
    time = describe_times(detected, reading.settings.timezone)
    ends = Ends(counts.conversions, counts.rejections, counts.timed)
    plan = PlannedInput(item, surveyed, None, detected)
    warnings = tuple(found.sentence for found in find_warnings(plan, ends, request))
    looks_like = recognise_input(counts.unread, ruleset)
    return Inspection(item, detected, surveyed, is_whole, records, time, counts, warnings, looks_like)


def _read_sample(split: Split, counts: RecordCounts, ruleset: Ruleset) -> int:
    """Counts the records of a sample of an input.

    Returns:
        The decompressed size of the sample, in bytes.
    """
    if split.framing == LINES and split.codec == "plain" and is_seekable(split.path):
        return sum(_read_part(window, counts, ruleset) for window in _windows(split))
    return _read_part(split._replace(end=HEAD_BYTES), counts, ruleset)


def _windows(split: Split) -> Iterator[Split]:
    """Yields windows spread evenly over a plain file of lines, from its beginning to its end."""
    step = (split.end - WINDOW_BYTES) // (WINDOWS - 1)
    for number in range(WINDOWS):
        yield split._replace(start=number * step, end=number * step + WINDOW_BYTES)


def _read_part(split: Split, counts: RecordCounts, ruleset: Ruleset) -> int:
    """Counts the records of a part, and stops after the batch that reaches the part's size.

    Returns:
        The decompressed size of the records, in bytes.
    """
    if counts.minutes[-1]:
        counts.minutes.append(Counter())
    read_bytes = 0
    for requests, _ in read_split(split):
        counts.add(requests, ruleset)
        read_bytes += int(requests["raw"].str.len_bytes().sum()) + requests.height
        if read_bytes >= split.end - split.start:
            break
    return read_bytes


def _most_frequent_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
