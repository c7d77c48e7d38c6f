"""Turns inputs into staged tables: surveys the inputs, detects their formats, cuts them into splits, transforms these.

`run` and `warehouse.load` both begin here. Nothing here looks across batches, and nothing here is permanent.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from etl.errors import ChangedInputError, UnknownInputError, UsageError
from etl.options import Options, RunOptions, Unknown
from etl.rules.ruleset import Ruleset
from etl.runner.disk_space import DiskNeed, require_disk
from etl.runner.engine import Engine, Meter, OpenEngine, TaskContext
from etl.runner.partitions import PartitionBy
from etl.runner.tasks import Task, TaskReport, count_splits, peak_memory_bytes, transform_splits
from etl.runner.unknown_inputs import UnknownInput, refuse_unknown
from etl.runner.unmatched_inputs import refuse_unmatched
from etl.sources.bundles import bundled
from etl.sources.detection import Detected
from etl.sources.planning import SPLIT_BYTES, ReadOptions, compressed_parts, count_surveyed, find_format, plan_splits
from etl.sources.reread import is_table
from etl.sources.settings import make_settings, with_collect_path
from etl.sources.small_inputs import group_small
from etl.sources.storage.checksums import has_changed
from etl.sources.storage.inputs import Input, is_shared, stored_bytes
from etl.sources.storage.store_paths import Folder
from etl.sources.storage.surveys import Survey, survey
from etl.sources.storage.unnamed_files import Copies, CopiesElsewhere, UnnamedFiles

#: Inputs with fewer bytes in all are transformed in this process: starting workers would take longer.
POOL_BYTES: Final = 48 * 2**20

#: Of compressed inputs of this size together, decompressed copies are kept. They take about seven times as much disk.
COPIED_BYTES: Final = 512 * 2**20
#: What a process needs; see "What a run takes" in `docs/operations.md`.
PROCESS_BYTES: Final = 500 * 2**20


@dataclass(frozen=True)
class RunRequest:
    """What to run: the options of the command, or the arguments of `etl.run`.

    Attributes:
        inputs: Files, folders, globs, or `-`.
        out: The folder that will hold the four tables, of a disk or of a store.
        open_engine: Starts the engine that runs the tasks.
        ruleset: The rules.
        options: The options of a transform.
        reading: How the inputs are read.
        unknown: What happens if an input is in no known format; see `unknown_inputs.refuse_unknown`.
        min_matched: Least share of an input's records that must match its format. By default nine tenths, for inputs
            whose format was detected and of which more than five records do not match.
        jobs: Number of processes.
        partition_by: Folders within the folder of each table.
        records_per_file: Most records whose rows share a file of each table; None: as many as a piece has.
        tmp: Folder of temporary files; None: beside the destination, and where the system keeps them.
        max_memory: Bytes of memory to use; fewer processes work if they would need more. None: no limit.
        is_remote: Whether other machines run the tasks, which see shared storage alone.
    """

    inputs: tuple[str, ...]
    out: Folder
    open_engine: OpenEngine
    ruleset: Ruleset = field(default_factory=Ruleset)
    options: Options = field(default_factory=Options)
    reading: ReadOptions = field(default_factory=ReadOptions)
    unknown: Unknown | None = None
    min_matched: float | None = None
    jobs: int = 1
    partition_by: PartitionBy = "none"
    records_per_file: int | None = None
    tmp: Path | None = None
    max_memory: int | None = None
    is_remote: bool = False

    def under(self, ruleset: Ruleset) -> RunRequest:
        """Returns this request under other rules: the readers know then its collect path and how it reads arrays."""
        settings = self.reading.settings._replace(
            collect_path=ruleset.collect_path, has_array_bodies=ruleset.array_bodies == "records"
        )
        return replace(self, ruleset=ruleset, reading=self.reading._replace(settings=settings))


def run_request(inputs: Sequence[str], out: Folder, options: RunOptions, open_engine: OpenEngine) -> RunRequest:
    """What a run is asked to do, from its options.

    Raises:
        FormatError: The file of formats is not valid.
        UsageError: There is no such time zone, or no such role of a column, or the text is no collect path.
    """
    ruleset = with_collect_path(options.ruleset or Ruleset(), options.collect_path)
    settings = make_settings(options.timezone, options.columns, options.formats)
    request = RunRequest(
        inputs=tuple(inputs),
        out=out,
        open_engine=open_engine,
        ruleset=ruleset,
        options=options.transform_options,
        reading=ReadOptions(options.format, options.log_format, settings, options.max_record_bytes),
        unknown=options.unknown,
        min_matched=options.min_matched,
        jobs=options.jobs,
        tmp=Path(options.tmp) if options.tmp else None,
        max_memory=options.max_memory,
    )
    return request.under(ruleset)


class Progress(NamedTuple):
    """Receives the progress of a run.

    Attributes:
        begin: Called when a phase begins, with its name and its total of bytes.
        advance: Called with the bytes and the records done since the last call.
        warn: Called with a warning.
        survey: Called with each surveyed input: path, digest, bytes, compression.
        need: Called with what the run needs on each disk, before the work.
    """

    begin: Callable[[str, int], None]
    advance: Meter
    warn: Callable[[str], None]
    survey: Callable[[dict[str, Any]], None] = lambda described: None
    need: Callable[[list[DiskNeed]], None] = lambda needs: None


SILENT: Final = Progress(lambda phase, total: None, lambda size, records: None, lambda message: None)


#: The format of an input and its number of records by the survey, where that shows it; or that its format is unknown.
FoundFormat = tuple[Detected, int | None] | UnknownInputError


class SurveyedInput(NamedTuple):
    """An input and the survey of its bytes.

    Attributes:
        input: The input.
        survey: Its survey. Another machine keeps the samples, but the first sample of a table.
        same_as: An earlier input with the same bytes.
        found: What another machine found in the samples.
    """

    input: Input
    survey: Survey
    same_as: str | None
    found: FoundFormat | None


class PlannedInput(NamedTuple):
    """An input, the survey of its bytes, its format, and its number of records by the survey, where that shows it."""

    input: Input
    survey: Survey
    same_as: str | None
    detected: Detected
    records: int | None = None


class Plans(NamedTuple):
    """The inputs to read, in the order of their digests, and those in no known format, in the order of arguments."""

    planned: list[PlannedInput]
    unknown: list[UnknownInput]


class StagingArea(NamedTuple):
    """The folder in which tables are staged.

    Attributes:
        folder: The folder.
        keeps_raws: See `Task.keeps_raws`.
        tables: The folder in which the tables are written; None: beside the staged tables.
        is_rehearsal: Nothing is staged: records are read and counted, and what a run would refuse is refused.
    """

    folder: Folder
    keeps_raws: bool = False
    tables: Folder | None = None
    is_rehearsal: bool = False


def run_id() -> str:
    """Returns a new name for a run: the present time and eight random digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def jobs_for(stored_bytes: int, request: RunRequest) -> int:
    """Returns the number of processes to use for inputs of that total size."""
    most = request.jobs if request.max_memory is None else request.max_memory // PROCESS_BYTES
    return max(1, min(request.jobs, most)) if stored_bytes >= POOL_BYTES else 1


def peak_memory(jobs: int, reports: list[TaskReport]) -> int:
    """Returns an upper bound of the run's memory in bytes.

    This is the peak of this process, plus the largest peak in the reports for each worker.
    """
    workers = (jobs - 1) * max((report.peak_memory_bytes for report in reports), default=0)
    return peak_memory_bytes() + workers


def survey_inputs(
    inputs: list[Input], request: RunRequest, progress: Progress, engine: Engine, copies: Copies | None = None
) -> list[SurveyedInput]:
    """Reads the inputs once, for their digests, and marks inputs that have the same bytes as an earlier input.

    Args:
        inputs: The inputs.
        request: How they are read.
        progress: Receives the progress.
        engine: Reads them.
        copies: Keeps the decompressed bytes of compressed inputs, if these are not too large.
    """
    total = stored_bytes(inputs)
    progress.begin("surveying", total)
    kept = [copies.of(item.source) if copies and total <= COPIED_BYTES else None for item in inputs]
    shown = [one and (one if engine.knows_repeats else CopiesElsewhere()) for one in kept]
    calls = [(item, request.reading, SPLIT_BYTES, copy) for item, copy in zip(inputs, shown, strict=True)]
    surveys = list(engine.map(_survey_input, calls, threads=request.jobs))
    surveyed: list[SurveyedInput] = []
    seen: dict[str, str] = {}
    for item, (found, found_format) in zip(inputs, surveys, strict=True):
        same_as = seen.get(found.digest) if found.plain_bytes else None
        seen.setdefault(found.digest, item.source)
        surveyed.append(SurveyedInput(item, found, same_as, found_format))
        known = {"path": item.source, "digest": found.digest, "bytes": found.stored_bytes, "compression": found.codec}
        progress.survey(known)
    return surveyed


def _survey_input(
    context: TaskContext,
    item: Input,
    reading: ReadOptions,
    split_bytes: int,
    copies: UnnamedFiles | CopiesElsewhere | None,
) -> tuple[Survey, FoundFormat | None]:
    """Surveys an input. Another machine looks for its format too, as the samples are too large to travel.

    Raises:
        ChangedInputError: It lies in an archive that has changed since its members were listed.
        InputError: It cannot be read to its end.
        UsageError: Only the machine that found it can read it.
    """
    if context.is_remote and not is_shared(item.path):
        raise UsageError(
            f"{item.source} is a temporary file, which only the machine that runs the command can read.",
            "Unpack it to storage that all workers read, or run with --engine local.",
        )
    found = survey(item.path, item.source, split_bytes, copies, lambda size: context.meter(size, 0))
    if item.archive is not None and has_changed(item.path, item.archive):
        raise ChangedInputError.of(item.source)
    if not context.is_remote:
        return found, None
    found_format = _find_format(item, found, reading)
    has_header = isinstance(found_format, tuple) and is_table(found_format[0])
    return found._replace(samples=found.samples[:1] if has_header else ()), found_format


def _find_format(item: Input, surveyed: Survey, reading: ReadOptions) -> FoundFormat:
    """Returns the format of an input and its number of records, or the error that it is in no known format."""
    try:
        detected = find_format(item, surveyed.codec, surveyed.samples, reading)
    except UnknownInputError as error:
        return error
    return detected, count_surveyed(item, surveyed, detected, reading.settings)


def plan_inputs(surveyed: list[SurveyedInput], request: RunRequest, others: Sequence[Input] = ()) -> Plans:
    """Detects the format of each input.

    Args:
        surveyed: The inputs.
        request: How they are read.
        others: Further inputs, whose format is known.

    Raises:
        UnknownInputError: An input is in no known format, and may not be left out.
    """
    planned: list[PlannedInput] = []
    unknown: list[UnknownInput] = []
    for item in surveyed:
        found = item.found or _find_format(item.input, item.survey, request.reading)
        if isinstance(found, UnknownInputError):
            unknown.append(UnknownInput(item.input, found))
        else:
            planned.append(PlannedInput(item.input, item.survey, item.same_as, *found))
    refuse_unknown(unknown, [*(plan.input for plan in planned), *others], request.unknown)
    return Plans(sorted(planned, key=lambda plan: plan.survey.digest), unknown)


def _need_disk(read: list[PlannedInput], request: RunRequest, progress: Progress, stage: StagingArea) -> None:
    """Reports what disk the transform of inputs needs.

    Raises:
        OutputError: A disk does not have it.
    """
    word = request.ruleset.collect_word
    surveys = [(plan.survey, word if plan.detected.row.family == "access_log" else b"") for plan in read]
    progress.need(require_disk(surveys, stage.folder, stage.tables or stage.folder))


def transform_inputs(
    planned: list[PlannedInput], request: RunRequest, engine: Engine, progress: Progress, stage: StagingArea
) -> tuple[list[Task], list[TaskReport]]:
    """Reads and transforms the inputs, and stages their tables; inputs with the same bytes are read once.

    Args:
        planned: The inputs, in the order of their digests.
        request: The rules and options.
        engine: Runs the tasks.
        progress: Receives the progress.
        stage: Where to stage the tables, and which raw records to keep.

    Returns:
        The tasks, in the order of (source_digest, record_no), and the report of each task.

    Raises:
        FormatError: Too few records of an input match its format.
        InputError: An input cannot be read.
        OutputError: A disk does not have what the run needs.
    """
    read = [plan for plan in planned if not plan.same_as]
    reading = request.reading.with_word(request.ruleset.collect_word)
    few = compressed_parts(len(read))
    splits = [split for plan in read for split in plan_splits(plan.input, plan.survey, plan.detected, reading, few)]
    holds_back = engine.knows_repeats and not stage.keeps_raws
    tasks = [
        Task(together, request.ruleset, request.options, stage.folder, number, stage.keeps_raws, holds_back)
        for number, together in enumerate(group_small(splits))
    ]
    _need_disk(read, request, progress, stage)
    progress.begin("reading", sum(_bytes_to_read(plan.survey) for plan in read))
    work = count_splits if stage.is_rehearsal else transform_splits
    bundles = bundled(tasks, lambda task: task.splits, engine.bundle_bytes)
    reports = [report for some in engine.map(work, [(bundle,) for bundle in bundles]) for report in some]
    is_detected = request.reading.format == "auto" and not request.reading.log_format
    refuse_unmatched(tasks, reports, request.min_matched, is_detected=is_detected)
    return tasks, reports


def _bytes_to_read(found: Survey) -> int:
    """Returns how many bytes reading an input takes, as the progress counts them."""
    return found.plain_bytes if found.copy else found.stored_bytes
