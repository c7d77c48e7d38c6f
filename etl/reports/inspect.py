"""Reports each input's format, the share of matching records, its time range, long gaps, and postbacks by account.

By default only a sample of an input is read: several parts of a plain file of lines, or the beginning of any other
input. Nothing is written.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import EtlError
from etl.options import Options
from etl.rules import page
from etl.rules.ruleset import Ruleset
from etl.rules.vendors.recognition import Signature, recognise_input
from etl.sources.detection import Detected
from etl.sources.format import LINES, PARQUET
from etl.sources.planning import SPLIT_BYTES, ReadOptions, describe_times, find_format, plan_splits
from etl.sources.readers import parquet_tables
from etl.sources.splits import Split, read_split
from etl.sources.storage.decompress import Survey, open_decompressed, survey, survey_beginning
from etl.sources.storage.inputs import Input, found_inputs
from etl.sources.storage.locations import is_seekable
from etl.steps.address_columns import hide_in_columns
from etl.steps.field_resolution import resolve_aliases
from etl.steps.parameters import explode_params, parse_bodies
from etl.steps.pipeline import route_requests

#: Size of a sample: the beginning of an input, or windows spread over it.
HEAD_BYTES: Final = 4 * 2**20
WINDOWS: Final = 8
WINDOW_BYTES: Final = HEAD_BYTES // WINDOWS

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


class Inspection(NamedTuple):
    """The report on one input.

    Attributes:
        path: Name of the input.
        detected: Its format.
        survey: Its size and compression.
        is_whole: Whether all of the input was read; otherwise `counts` are those of a sample.
        records: How many records the input holds; an estimate if it was not read whole.
        time: How its times are read.
        counts: Counts of the records that were read.
        looks_like: What its postbacks look like, and how many of those that were read.
    """

    path: str
    detected: Detected
    survey: Survey
    is_whole: bool
    records: int
    time: str
    counts: RecordCounts
    looks_like: tuple[Signature, int] | None = None

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
        }


class Failure(NamedTuple):
    """An input that cannot be inspected, with the error."""

    path: str
    error: EtlError

    def as_data(self) -> dict[str, Any]:
        """Converts the failure to a dict."""
        return {"path": self.path, "problem": self.error.problem, "hint": self.error.hint}


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
        routed = route_requests(requests, ruleset, Options())
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
        bodies = parse_bodies(postbacks)
        params = explode_params(bodies, ruleset.parameter_order, ruleset.followed_paths, ruleset.body_charset)
        self.unread.update(dict(resolve_aliases(params, bodies.height, ruleset).unrecognised.iter_rows()))
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
                    Gap(*(datetime.fromtimestamp(minute * 60, UTC) for minute in (a, b)))
                    for a, b in pairwise(minutes)
                    if timedelta(minutes=b - a) > least
                ]
        return sorted(set(found))


def inspect_inputs(
    arguments: list[str], reading: ReadOptions, ruleset: Ruleset, *, is_full: bool = False
) -> Iterator[Inspection | Failure]:
    """What each of the inputs holds, in their order. An input that cannot be inspected does not hide the others.

    Args:
        arguments: Files, folders, globs, addresses of object stores, or `-`.
        reading: What the user says of how they are read.
        ruleset: Whose collect path tells postbacks from other requests.
        is_full: Whether all of an input is read.

    Raises:
        EtlError: An argument names nothing.
    """
    with found_inputs(arguments, Path(os.devnull)) as inputs:
        for item in inputs:
            try:
                yield _inspect_input(item, reading, ruleset, is_full=is_full)
            except EtlError as error:
                yield Failure(item.source, error)


def _inspect_input(item: Input, reading: ReadOptions, ruleset: Ruleset, *, is_full: bool) -> Inspection:
    """Inspects one input; an input that fits in the sample is read whole."""
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
    looks_like = recognise_input(counts.unread, ruleset)
    return Inspection(item.source, detected, surveyed, is_whole, records, time, counts, looks_like)


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


def _value_counts(values: pl.Series) -> dict[Any, int]:
    return dict(values.value_counts().iter_rows())


def _most_frequent_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
