"""Inputs to staged tables: survey what the arguments name, find out what it is, cut it into splits, transform those.

What `job` publishes and what `warehouse` loads begins here alike. Nothing here looks across records or lasts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import FormatError, InputError
from etl.options import Options, RunOptions
from etl.privacy.redaction import redact_raws
from etl.rules.ruleset import Ruleset
from etl.runner.engine import Engine, Meter, OpenEngine
from etl.runner.tasks import Report, Task, Unmatched, peak_memory_bytes, transform_split
from etl.sources.detection import Detected
from etl.sources.format import LINES
from etl.sources.planning import SPLIT_BYTES, Reading, find_format, plan_splits
from etl.sources.settings import make_settings
from etl.sources.storage.decompress import Survey, survey
from etl.sources.storage.inputs import Input
from etl.sources.storage.locations import size_of

#: The least share of records that must be in the format an input was found to have, and how many need not be.
MIN_MATCHED: Final = 0.9
TOLERATED: Final = 5

#: Less input than this is not worth starting processes for.
POOL_BYTES: Final = 48 * 2**20


@dataclass(frozen=True)
class RunRequest:
    """What a run is asked to do; the command's options, and the arguments of `etl.run`.

    Attributes:
        inputs: Files, folders, globs, or `-`.
        out: The folder that will hold the four tables.
        open_engine: Starts the engine that runs the tasks.
        ruleset: The rules.
        options: What a transform may be told.
        reading: How the inputs are read.
        min_matched: Least share of an input's records that must be in its format; by default nine tenths, of inputs
            whose format was detected and of which more than a few records are not in it.
        jobs: Processes to work in.
    """

    inputs: tuple[str, ...]
    out: Path
    open_engine: OpenEngine
    ruleset: Ruleset = field(default_factory=Ruleset)
    options: Options = field(default_factory=Options)
    reading: Reading = field(default_factory=Reading)
    min_matched: float | None = None
    jobs: int = 1


def run_request(inputs: Sequence[str], out: Path, options: RunOptions, open_engine: OpenEngine) -> RunRequest:
    """What a run is asked to do, from its options.

    Raises:
        FormatError: The file of formats is not valid.
        UsageError: There is no such time zone, or no such role of a column.
    """
    settings = make_settings(options.timezone, options.columns, options.formats)
    return RunRequest(
        inputs=tuple(inputs),
        out=out,
        open_engine=open_engine,
        ruleset=options.ruleset or Ruleset(),
        options=options.transform_options,
        reading=Reading(options.format, options.log_format, settings, options.max_record_bytes),
        min_matched=options.min_matched,
        jobs=options.jobs,
    )


class Progress(NamedTuple):
    """Where a run tells how it gets on.

    Attributes:
        begin: Told the phase, with its total of bytes.
        advance: Told bytes and records as they are done.
        warn: Told what needs a look.
        survey: Told of each input, when it was surveyed: path, digest, bytes, compression.
    """

    begin: Callable[[str, int], None]
    advance: Meter
    warn: Callable[[str], None]
    survey: Callable[[dict[str, Any]], None] = lambda described: None


SILENT: Final = Progress(lambda phase, total: None, lambda size, records: None, lambda message: None)


class Surveyed(NamedTuple):
    """One input and its bytes; `same_as` names an earlier input of the same bytes."""

    input: Input
    survey: Survey
    same_as: str | None


class Planned(NamedTuple):
    """One input and what is known of it before it is transformed."""

    input: Input
    survey: Survey
    same_as: str | None
    detected: Detected


class Stage(NamedTuple):
    """Where staged pieces go, and whether they hold the raw records of conversions that can repeat another."""

    folder: Path
    keeps_raws: bool = False


def run_id() -> str:
    """A name for a run: when it began, and eight digits of chance."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def jobs_for(inputs: list[Input], request: RunRequest) -> int:
    """The processes that are worth starting for inputs of their size."""
    return request.jobs if sum(size_of(item.path) for item in inputs) >= POOL_BYTES else 1


def memory_of(jobs: int, reports: list[Report]) -> int:
    """The most bytes that a run can have held: this process at its peak, and every worker at that of the largest."""
    workers = (jobs - 1) * max((report.peak_memory_bytes for report in reports), default=0)
    return peak_memory_bytes() + workers


def survey_inputs(inputs: list[Input], request: RunRequest, progress: Progress) -> list[Surveyed]:
    """Reads the inputs once, for their digests; those of the same bytes as an earlier one say so."""
    progress.begin("surveying", sum(size_of(item.path) for item in inputs))
    with ThreadPoolExecutor(request.jobs) as threads:
        surveys = list(threads.map(lambda item: survey(item.path, item.source, SPLIT_BYTES), inputs))
    surveyed: list[Surveyed] = []
    seen: dict[str, str] = {}
    for item, found in zip(inputs, surveys, strict=True):
        same_as = seen.get(found.digest) if found.plain_bytes else None
        seen.setdefault(found.digest, item.source)
        surveyed.append(Surveyed(item, found, same_as))
        known = {"path": item.source, "digest": found.digest, "bytes": found.stored_bytes, "compression": found.codec}
        progress.survey(known)
    return surveyed


def plan_inputs(surveyed: list[Surveyed], request: RunRequest) -> list[Planned]:
    """Gives each input its format, in the order of their digests."""
    planned = [
        Planned(*one, find_format(one.input, one.survey.codec, one.survey.samples, request.reading)) for one in surveyed
    ]
    return sorted(planned, key=lambda plan: plan.survey.digest)


def transform_inputs(
    planned: list[Planned], request: RunRequest, engine: Engine, progress: Progress, stage: Stage
) -> tuple[list[Task], list[Report]]:
    """Reads and transforms the inputs, each of the same bytes once, and stages their tables.

    Args:
        planned: The inputs, in the order of their digests.
        request: By what rules.
        engine: Where the tasks run.
        progress: Where to tell how it gets on.
        stage: Where the pieces go, and whether the raw records of what can be a duplicate go there too.

    Returns:
        The tasks, in the order of (source_digest, record_no), and what became of each.

    Raises:
        FormatError: Too few records of an input are in its format.
        InputError: An input cannot be read.
    """
    read = [plan for plan in planned if not plan.same_as]
    splits = [
        split
        for plan in read
        for split in plan_splits(plan.input, plan.survey, plan.detected, request.reading, request.ruleset.collect_word)
    ]
    tasks = [
        Task(split, request.ruleset, request.options, stage.folder, number, stage.keeps_raws)
        for number, split in enumerate(splits)
    ]
    progress.begin("reading", sum(plan.survey.stored_bytes for plan in read))
    reports = list(engine.map(transform_split, [(task,) for task in tasks]))
    _refuse_unmatched(request, tasks, reports)
    return tasks, reports


def prove_unchanged(planned: list[Planned], tasks: list[Task], reports: list[Report]) -> None:
    """Proves that inputs of lines held the records that were counted when they were surveyed.

    Raises:
        InputError: One does not.
    """
    lines = {plan.input.source: plan for plan in planned if plan.detected.framing == LINES}
    for task, report, following in zip(tasks, reports, [*tasks[1:], None], strict=False):
        is_followed = following is not None and following.split.source == task.split.source
        if is_followed and task.split.source in lines:
            expected = following.split.first_record - task.split.first_record  # type: ignore[union-attr]
            if report.records != expected:
                raise InputError(f"{task.split.source} changed while it was read.", "Run again when it is at rest.")


def _refuse_unmatched(request: RunRequest, tasks: list[Task], reports: list[Report]) -> None:
    """Looks for an input that is not what it was taken for.

    Raises:
        FormatError: Too few of its records are in its format.
    """
    is_judged = request.min_matched is not None or (request.reading.format == "auto" and not request.reading.log_format)
    least = MIN_MATCHED if request.min_matched is None else request.min_matched
    tolerated = TOLERATED if request.min_matched is None else 0
    by_source: dict[str, tuple[Task, Unmatched]] = {}
    for task, report in zip(tasks, reports, strict=True):
        before = by_source.get(task.split.source, (task, Unmatched(0, 0, [])))[1]
        by_source[task.split.source] = task, before + report.unmatched
    for source, (task, found) in by_source.items():
        matched = found.candidates - found.records
        if is_judged and found.records > tolerated and matched < least * found.candidates:
            raise _unmatched_error(source, task, found)


def _unmatched_error(source: str, task: Task, found: Unmatched) -> FormatError:
    matched = found.candidates - found.records
    first = pl.DataFrame(found.first, {"record_no": pl.Int64, "raw": pl.String, "layout": pl.String}, orient="row")
    shown = redact_raws(first["raw"], task.options.pii, task.ruleset, first["layout"])
    listed = "; ".join(f"record {number} {raw[:60]!r}" for number, raw in zip(first["record_no"], shown, strict=True))
    return FormatError(
        f"{source} looks like {task.split.row.name}, but only {matched:,} of {found.candidates:,} records are. "
        f"Not so are {listed}.",
        f"Say what it is with --format or --log-format; --min-matched {100 * matched // found.candidates}% allows it.",
    )
