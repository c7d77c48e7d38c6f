"""One run: survey the inputs, plan splits, transform them, deduplicate, write, prove the accounting, publish.

Workers read and transform (`engines`); everything that looks across records, and every write that lasts, is here.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.duplicates import DUPLICATES, find_duplicates, repeated_hashes
from etl.engines.local import Inline, Pool, workers
from etl.engines.work import (
    Meter,
    Report,
    Task,
    peak_memory_bytes,
    piece_path,
    reread_raws,
    transform_split,
)
from etl.errors import AccountingError, FormatError, InputError
from etl.options import Options
from etl.rejections import reject_duplicates
from etl.ruleset import Ruleset
from etl.schema import TABLES
from etl.sinks.parquet import TablesWriter
from etl.sinks.publish import Stage, staged
from etl.sources.formats import BY_NAME, DOCUMENTS, LINES, detect_format
from etl.sources.inputs import Input, found_inputs
from etl.sources.log_format import compile_log_format
from etl.sources.splits import DEFAULT_MAX_RECORD_BYTES, Split
from etl.sources.streams import Survey, survey

SPLIT_BYTES: Final = 32 * 2**20

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
        max_record_bytes: Longer records are malformed.
        jobs: Processes to work in.
    """

    inputs: tuple[str, ...]
    out: Path
    ruleset: Ruleset = field(default_factory=Ruleset)
    options: Options = field(default_factory=Options)
    format: str = "auto"
    log_format: str | None = None
    max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES
    jobs: int = 1


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
    format_name: str
    same_as: str | None


def run_job(request: Request, progress: Progress = SILENT) -> dict[str, Any]:
    """Reads the inputs and publishes the four tables.

    Args:
        request: What to do.
        progress: Where to tell how it gets on.

    Returns:
        The summary of the contract.

    Raises:
        EtlError: The run failed; the destination is as it was.
    """
    began = time.monotonic()
    with staged(request.out) as stage, found_inputs(list(request.inputs), request.out) as inputs:
        size = sum(item.path.stat().st_size for item in inputs)
        jobs = request.jobs if size >= POOL_BYTES else 1
        with workers(jobs, progress.advance) as pool:
            planned = _plan(inputs, request, pool, progress, size)
            splits = [split for plan in planned if not plan.same_as for split in _splits(plan, request)]
            tasks = [Task(split, request.ruleset, request.options, stage.pieces, i) for i, split in enumerate(splits)]
            progress.begin("reading", sum(plan.survey.stored_bytes for plan in planned if not plan.same_as))
            reports = list(pool.map(transform_split, [(task,) for task in tasks]))
            progress.begin("writing", 0)
            tally = _write(stage, tasks, reports, request, pool)
        summary = _summarise(request, planned, tasks, reports, tally)
        _prove(summary, planned, tasks, reports, tally)
        stage.publish(summary)
    workers_memory = 0 if jobs == 1 else jobs * max((report.peak_memory_bytes for report in reports), default=0)
    return {
        "run_id": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}",
        **summary,
        "seconds": round(time.monotonic() - began, 3),
        "peak_memory_bytes": peak_memory_bytes() + workers_memory,
    }


def _plan(inputs: list[Input], request: Request, pool: Inline | Pool, progress: Progress, size: int) -> list[Planned]:
    """Surveys the inputs and gives each its format, in the order of their digests."""
    progress.begin("surveying", size)
    surveys = pool.map(survey, [(item.path, item.source, SPLIT_BYTES) for item in inputs])
    planned: list[Planned] = []
    seen: dict[str, str] = {}
    for item, surveyed in zip(inputs, surveys, strict=True):
        same_as = seen.get(surveyed.digest) if surveyed.plain_bytes else None
        seen.setdefault(surveyed.digest, item.source)
        if same_as:
            progress.warn(f"{item.source} holds the same bytes as {same_as} and is read once.")
        planned.append(Planned(item, surveyed, _format_name(request, surveyed, item.source), same_as))
    return sorted(planned, key=lambda plan: plan.survey.digest)


def _format_name(request: Request, surveyed: Survey, label: str) -> str:
    if request.log_format:
        return compile_log_format(request.log_format).name
    if request.format == "auto":
        return detect_format(surveyed.sample, label).name
    if request.format not in BY_NAME:
        raise FormatError(f"--format {request.format!r} is unknown.", f"Known formats: auto, {', '.join(BY_NAME)}.")
    return request.format


def _splits(plan: Planned, request: Request) -> Iterable[Split]:
    """The parts of an input that are read apart; JSON documents and compressed inputs are one."""
    row = BY_NAME.get(plan.format_name)
    is_whole = row is not None and row.records == DOCUMENTS
    starts = plan.survey.starts[:1] if is_whole else plan.survey.starts
    for start, end, first_record in zip(
        starts, (*starts[1:], plan.survey.plain_bytes), plan.survey.first_lines, strict=False
    ):
        yield Split(
            plan.input.source,
            plan.survey.digest,
            plan.input.path,
            plan.survey.codec,
            start,
            end,
            first_record,
            plan.format_name,
            request.log_format,
            request.max_record_bytes,
        )


@dataclass
class _Tally:
    """What was written, counted as it was handed to the writers."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys((table.name for table in TABLES), 0))
    reasons: Counter[str] = field(default_factory=Counter)
    issues: Counter[str] = field(default_factory=Counter)
    values: dict[str, Decimal] = field(default_factory=dict)
    unlogged: Counter[str] = field(default_factory=Counter)
    written: dict[str, int] = field(default_factory=dict)

    def count(self, tables: dict[str, pl.DataFrame]) -> None:
        for name, rows in tables.items():
            self.rows[name] += rows.height
        self.reasons.update(dict(tables["rejections"]["reason"].value_counts().iter_rows()))
        self.unlogged.update(
            dict(
                tables["rejections"].filter(pl.col("reason") == "body_not_logged").group_by("source").len().iter_rows()
            )
        )
        codes = tables["conversions"]["issues"].explode(empty_as_null=False).struct.field("code")
        self.issues.update(dict(codes.value_counts().iter_rows()))
        for currency, value in _sums(tables["conversions"]):
            self.values[currency] = self.values.get(currency, Decimal(0)) + value


#: Values up to here can be summed within Decimal(38, 9) a hundred million times over.
_SUMMABLE: Final = 10**20


def _sums(conversions: pl.DataFrame) -> Iterable[tuple[str, Decimal]]:
    is_small = pl.col("value").abs() < _SUMMABLE
    valued = conversions.drop_nulls("value").select(pl.col("currency").fill_null(""), "value")
    yield from valued.filter(is_small).group_by("currency").agg(pl.col("value").sum()).iter_rows()
    yield from valued.filter(~is_small).iter_rows()


def _write(stage: Stage, tasks: list[Task], reports: list[Report], request: Request, pool: Inline | Pool) -> _Tally:
    """Deduplicates what was staged and writes the four tables, in the order of (source_digest, record_no)."""
    pieces = [(task, piece) for task, report in zip(tasks, reports, strict=True) for piece in range(report.pieces)]
    load = partial(_load, stage.pieces)
    duplicates = _find_duplicates(pieces, load, request.ruleset)
    tally = _Tally()
    with TablesWriter(stage.new) as writer:
        raws = _raws(pieces, load, duplicates, request, pool)
        for task, piece in pieces:
            tables = {name: load(task, piece, name) for name in writer.by_name}
            tables = _without_duplicates(tables, duplicates, raws.get(task.number))
            tally.count(tables)
            for name, rows in tables.items():
                writer.append(name, rows)
    tally.written = writer.written_rows()
    return tally


def _load(stage: Path, task: Task, piece: int, name: str) -> pl.DataFrame:
    return pl.read_ipc(piece_path(stage, task.number, piece, name))


def _find_duplicates(
    pieces: list[tuple[Task, int]], load: Callable[[Task, int, str], pl.DataFrame], ruleset: Ruleset
) -> pl.DataFrame:
    repeated = repeated_hashes([load(task, piece, "keys")["key_hash"] for task, piece in pieces])
    if not len(repeated):
        return pl.DataFrame(schema=DUPLICATES)
    suspects = [
        load(task, piece, "keys").filter(pl.col("key_hash").is_in(repeated.implode())) for task, piece in pieces
    ]
    return find_duplicates(pl.concat(suspects), ruleset.dedup_window)


def _raws(
    pieces: list[tuple[Task, int]],
    load: Callable[[Task, int, str], pl.DataFrame],
    duplicates: pl.DataFrame,
    request: Request,
    pool: Inline | Pool,
) -> dict[int, pl.DataFrame]:
    """The raw records of the duplicates, read again from the inputs, by task."""
    numbers: dict[int, list[int]] = {}
    tasks = {task.number: task for task, _ in pieces}
    if not duplicates.height:
        return {}
    for task, piece in pieces:
        keys = load(task, piece, "keys").join(duplicates, on="conversion_id", how="semi")
        numbers.setdefault(task.number, []).extend(keys["record_no"])
    wanted = [(number, records) for number, records in numbers.items() if records]
    calls = [(tasks[number].split, records, request.ruleset, request.options) for number, records in wanted]
    return dict(zip((number for number, _ in wanted), pool.map(reread_raws, calls), strict=True))


def _without_duplicates(
    tables: dict[str, pl.DataFrame], duplicates: pl.DataFrame, raws: pl.DataFrame | None
) -> dict[str, pl.DataFrame]:
    """The tables of a piece with its duplicates moved to rejections, and their items and passthroughs left out."""
    if raws is None:
        return tables
    moved = tables["conversions"].join(duplicates, on="conversion_id", maintain_order="left")
    rejected = reject_duplicates(moved.join(raws, on="record_no", maintain_order="left"))
    return {
        **{
            name: tables[name].join(duplicates, on="conversion_id", how="anti", maintain_order="left")
            for name in ("conversions", "items", "passthroughs")
        },
        "rejections": pl.concat([tables["rejections"], rejected]).sort("source_digest", "record_no"),
    }


def _summarise(
    request: Request, planned: list[Planned], tasks: list[Task], reports: list[Report], tally: _Tally
) -> dict[str, Any]:
    """The summary but what differs from run to run; it is also the manifest of the published tables."""
    skipped: Counter[str] = Counter()
    unrecognised: Counter[str] = Counter()
    records: Counter[str] = Counter()
    for task, report in zip(tasks, reports, strict=True):
        skipped.update(report.skipped)
        unrecognised.update(report.unrecognised)
        records[task.split.source] += report.records
    return {
        "ruleset": {"name": request.ruleset.name, "digest": request.ruleset.digest},
        "inputs": [_describe_input(plan, records, tally) for plan in planned],
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


def _describe_input(plan: Planned, records: Counter[str], tally: _Tally) -> dict[str, Any]:
    described: dict[str, Any] = {
        "path": plan.input.source,
        "digest": plan.survey.digest,
        "format": plan.format_name,
        "compression": plan.survey.codec,
        "bytes": plan.survey.stored_bytes,
        "records": 0 if plan.same_as else records[plan.input.source],
        "bodies_not_logged": 0 if plan.same_as else tally.unlogged[plan.input.source],
    }
    return {**described, "same_as": plan.same_as} if plan.same_as else described


def _by_reason(counts: Counter[str]) -> dict[str, Any]:
    return {"total": counts.total(), "by_reason": dict(sorted(counts.items()))}


def _prove(
    summary: dict[str, Any], planned: list[Planned], tasks: list[Task], reports: list[Report], tally: _Tally
) -> None:
    """Every record is in exactly one place, and the files hold what was counted.

    Raises:
        AccountingError: They do not.
        InputError: An input is not what it was when it was surveyed.
    """
    lines = {plan.input.source: plan for plan in planned if _has_lines(plan)}
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
    if tally.rows != tally.written:
        raise AccountingError(
            f"The files hold {tally.written} rows, but {tally.rows} were written.", "Check the disk."
        )


def _has_lines(plan: Planned) -> bool:
    row = BY_NAME.get(plan.format_name)
    return row is None or row.records == LINES
