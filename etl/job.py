"""One run: survey the inputs, plan splits, transform them, deduplicate, write, prove the accounting, publish.

Workers read and transform (`engines`); everything that looks across records, and every write that lasts, is here.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.duplicates import find_duplicates, repeated_hashes
from etl.engines.local import Inline, Pool, workers
from etl.engines.work import (
    Meter,
    Piece,
    Report,
    Tally,
    Task,
    Unmatched,
    peak_memory_bytes,
    stage_duplicates,
    transform_split,
    write_part,
)
from etl.errors import AccountingError, FormatError, InputError
from etl.options import Options
from etl.ruleset import Ruleset
from etl.schema import TABLES
from etl.sinks.parquet import make_folders, written_rows
from etl.sinks.publish import Stage, staged
from etl.sources.detection import Detected
from etl.sources.format_rows import LINES, Settings
from etl.sources.inputs import Input, found_inputs
from etl.sources.locations import size_of
from etl.sources.plans import SPLIT_BYTES, Reading, find_format, plan_splits, time_of
from etl.sources.splits import DEFAULT_MAX_RECORD_BYTES, Split
from etl.sources.streams import Survey, survey

#: A file of a published table is made of pieces of about so many records.
RECORDS_PER_PART: Final = 100_000

#: The least share of records that must be in the format an input was found to have, and how many need not be.
MIN_MATCHED: Final = 0.9
TOLERATED: Final = 5

#: Less input than this is not worth starting processes for.
POOL_BYTES: Final = 48 * 2**20


@dataclass(frozen=True)
class Request:
    """What a run is asked to do; the command's options, and the arguments of `etl.run`.

    Attributes:
        inputs: Files, folders, globs, or `-`.
        out: The folder that will hold the four tables.
        ruleset: The rules.
        options: What a transform may be told.
        format: A row of `formats.FORMATS`, or `auto`.
        log_format: A server's own log format.
        settings: What else is known of the inputs: the zone of their times, columns, formats of one's own.
        min_matched: Least share of an input's records that must be in its format; by default nine tenths, of inputs
            whose format was detected and of which more than a few records are not in it.
        max_record_bytes: Longer records are malformed.
        jobs: Processes to work in.
    """

    inputs: tuple[str, ...]
    out: Path
    ruleset: Ruleset = field(default_factory=Ruleset)
    options: Options = field(default_factory=Options)
    format: str = "auto"
    log_format: str | None = None
    settings: Settings = field(default_factory=Settings)
    min_matched: float | None = None
    max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES
    jobs: int = 1

    @property
    def reading(self) -> Reading:
        """How the inputs are read."""
        return Reading(self.format, self.log_format, self.settings, self.max_record_bytes)


class Progress(NamedTuple):
    """Where a run tells how it gets on: the phase with its total of bytes, then bytes and records as they are done."""

    begin: Callable[[str, int], None]
    advance: Meter
    warn: Callable[[str], None]


SILENT: Final = Progress(lambda phase, total: None, lambda size, records: None, lambda message: None)


class Planned(NamedTuple):
    """One input and what is known of it before it is read; `same_as` names an earlier input of the same bytes."""

    input: Input
    survey: Survey
    detected: Detected
    same_as: str | None


def run_job(request: Request, progress: Progress = SILENT, found: list[Input] | None = None) -> dict[str, Any]:
    """Reads the inputs and publishes the four tables.

    Args:
        request: What to do.
        progress: Where to tell how it gets on.
        found: The inputs, by a caller who has looked for them already and holds them open; else they are looked for.

    Returns:
        The summary of the contract.

    Raises:
        EtlError: The run failed; the destination is as it was.
    """
    began = time.monotonic()
    looked_for = found_inputs(list(request.inputs), request.out) if found is None else nullcontext(found)
    with staged(request.out) as stage, looked_for as inputs:
        size = sum(size_of(item.path) for item in inputs)
        jobs = request.jobs if size >= POOL_BYTES else 1
        with workers(jobs, progress.advance) as pool:
            planned = _plan(inputs, request, progress, size)
            splits = [split for plan in planned if not plan.same_as for split in _splits(plan, request)]
            tasks = [Task(split, request.ruleset, request.options, stage.pieces, i) for i, split in enumerate(splits)]
            progress.begin("reading", sum(plan.survey.stored_bytes for plan in planned if not plan.same_as))
            reports = list(pool.map(transform_split, [(task,) for task in tasks]))
            _refuse_unmatched(request, tasks, reports)
            progress.begin("writing", 0)
            tally = _finish(stage, tasks, reports, request.ruleset, pool)
        summary = _summarise(request, planned, tasks, reports, tally)
        _prove(summary, planned, tasks, reports, written_rows(stage.new))
        progress.begin("publishing", 0)
        stage.publish(summary)
    workers_memory = 0 if jobs == 1 else jobs * max((report.peak_memory_bytes for report in reports), default=0)
    return {
        "run_id": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}",
        **summary,
        "seconds": round(time.monotonic() - began, 3),
        "peak_memory_bytes": peak_memory_bytes() + workers_memory,
    }


def _plan(inputs: list[Input], request: Request, progress: Progress, size: int) -> list[Planned]:
    """Surveys the inputs and gives each its format, in the order of their digests."""
    progress.begin("surveying", size)
    with ThreadPoolExecutor(request.jobs) as threads:
        surveys = list(threads.map(lambda item: survey(item.path, item.source, SPLIT_BYTES), inputs))
    planned: list[Planned] = []
    seen: dict[str, str] = {}
    for item, surveyed in zip(inputs, surveys, strict=True):
        same_as = seen.get(surveyed.digest) if surveyed.plain_bytes else None
        seen.setdefault(surveyed.digest, item.source)
        if same_as:
            progress.warn(f"{item.source} holds the same bytes as {same_as} and is read once.")
        found = find_format(item, surveyed.codec, surveyed.samples, request.reading)
        planned.append(Planned(item, surveyed, found, same_as))
    return sorted(planned, key=lambda plan: plan.survey.digest)


def _splits(plan: Planned, request: Request) -> Iterable[Split]:
    return plan_splits(plan.input, plan.survey, plan.detected, request.reading, request.ruleset.collect_word)


def _refuse_unmatched(request: Request, tasks: list[Task], reports: list[Report]) -> None:
    """Looks for an input that is not what it was taken for.

    Raises:
        FormatError: Too few of its records are in its format.
    """
    is_judged = request.min_matched is not None or (request.format == "auto" and not request.log_format)
    least = MIN_MATCHED if request.min_matched is None else request.min_matched
    tolerated = TOLERATED if request.min_matched is None else 0
    by_source: dict[str, tuple[Task, Unmatched]] = {}
    for task, report in zip(tasks, reports, strict=True):
        before = by_source.get(task.split.source, (task, Unmatched(0, 0, [])))[1]
        by_source[task.split.source] = task, before + report.unmatched
    for source, (task, found) in by_source.items():
        matched = found.candidates - found.records
        if is_judged and found.records > tolerated and matched < least * found.candidates:
            raise _unmatched_error(source, task.split.row.name, found)


def _unmatched_error(source: str, name: str, found: Unmatched) -> FormatError:
    matched = found.candidates - found.records
    first = "; ".join(f"record {number} {raw[:60]!r}" for number, raw in found.first)
    return FormatError(
        f"{source} looks like {name}, but only {matched:,} of {found.candidates:,} records are. Not so are {first}.",
        f"Say what it is with --format or --log-format; --min-matched {100 * matched // found.candidates}% allows it.",
    )


def _finish(stage: Stage, tasks: list[Task], reports: list[Report], ruleset: Ruleset, pool: Inline | Pool) -> Tally:
    """Deduplicates what was staged and writes the four tables, in the order of (source_digest, record_no)."""
    pieces = [piece for report in reports for piece in report.pieces]
    keys = partial(_keys, stage.pieces)
    repeated = repeated_hashes([keys(piece)["key_hash"] for piece in pieces])
    suspects = [keys(piece).filter(pl.col("key_hash").is_in(repeated.implode())) for piece in pieces]
    if len(repeated):
        duplicates = find_duplicates(pl.concat(suspects), ruleset.dedup_window)
        by_task: dict[int, list[pl.DataFrame]] = {}
        for piece, rows in zip(pieces, suspects, strict=True):
            found = duplicates.join(rows.select("conversion_id", "record_no", "byte_offset"), on="conversion_id")
            by_task.setdefault(piece.task, []).append(found)
        calls = [(tasks[number], rows) for number, found in by_task.items() if (rows := pl.concat(found)).height]
        list(pool.map(stage_duplicates, calls))
    make_folders(stage.new)
    parts = _parts(pieces) or [[]]
    calls_of_parts = [(part, stage.pieces, stage.new, number) for number, part in enumerate(parts)]
    tally = Tally()
    for part in pool.map(write_part, calls_of_parts):
        tally += part
    return tally


def _parts(pieces: list[Piece]) -> list[list[Piece]]:
    """The pieces of each file of the published tables, by their size alone, so that the machine plays no part."""
    parts: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        if piece.records > room:
            parts.append([])
            room = RECORDS_PER_PART
        parts[-1].append(piece)
        room -= piece.records
    return parts


def _keys(stage: Path, piece: Piece) -> pl.DataFrame:
    return pl.read_parquet(piece.path(stage, "keys"))


def _summarise(
    request: Request, planned: list[Planned], tasks: list[Task], reports: list[Report], tally: Tally
) -> dict[str, Any]:
    """The summary but what differs from run to run; it is also the manifest of the published tables."""
    skipped = sum((report.skipped for report in reports), Counter[str]())
    unrecognised = sum((report.unrecognised for report in reports), Counter[str]())
    records: Counter[str] = Counter()
    for task, report in zip(tasks, reports, strict=True):
        records[task.split.source] += report.records
    return {
        "ruleset": {"name": request.ruleset.name, "digest": request.ruleset.digest},
        "inputs": [_describe_input(plan, records, tally, request.settings.timezone) for plan in planned],
        "records": records.total(),
        **{name: tally.rows[name] for name in ("conversions", "items", "passthroughs")},
        "rejections": _by_reason(tally.reasons),
        "skipped": _by_reason(skipped),
        "issues": dict(sorted(tally.issues.items())),
        "unrecognised_parameters": dict(sorted(unrecognised.items(), key=lambda item: (-item[1], item[0]))),
        "value_total": {currency: _plain(value) for currency, value in sorted(tally.values.items())},
    }


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _describe_input(plan: Planned, records: Counter[str], tally: Tally, timezone: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "path": plan.input.source,
        "digest": plan.survey.digest,
        "format": plan.detected.row.name,
        "compression": plan.survey.codec,
        "bytes": plan.survey.stored_bytes,
        "records": 0 if plan.same_as else records[plan.input.source],
        "time": time_of(plan.detected, timezone),
        "bodies_not_logged": 0 if plan.same_as else tally.unlogged[plan.input.source],
    }
    if plan.detected.columns:
        described["columns"] = dict(plan.detected.columns)
    return {**described, "same_as": plan.same_as} if plan.same_as else described


def _by_reason(counts: Counter[str]) -> dict[str, Any]:
    return {"total": counts.total(), "by_reason": dict(sorted(counts.items()))}


def _prove(
    summary: dict[str, Any], planned: list[Planned], tasks: list[Task], reports: list[Report], written: dict[str, int]
) -> None:
    """Every record is in exactly one place, and the files hold what was counted.

    Raises:
        AccountingError: They do not.
        InputError: An input is not what it was when it was surveyed.
    """
    lines = {plan.input.source: plan for plan in planned if plan.detected.framing == LINES}
    for task, report, following in zip(tasks, reports, [*tasks[1:], None], strict=True):
        is_followed = following is not None and following.split.source == task.split.source
        if is_followed and task.split.source in lines:
            expected = following.split.first_record - task.split.first_record  # type: ignore[union-attr]
            if report.records != expected:
                raise InputError(f"{task.split.source} changed while it was read.", "Run again when it is at rest.")
    ended = summary["conversions"] + summary["rejections"]["total"] + summary["skipped"]["total"]
    if summary["records"] != ended:
        raise AccountingError(
            f"{summary['records']} records were read, but {ended} accounted for.", "Report this with the input."
        )
    counted = {table.name: summary[table.name] for table in TABLES[:3]} | {"rejections": summary["rejections"]["total"]}
    if counted != written:
        raise AccountingError(f"The files hold {written} rows, but {counted} were written.", "Check the disk.")
