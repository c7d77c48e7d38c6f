"""One run: read and transform the inputs (`reading`), deduplicate, write, prove the accounting, publish.

Everything that looks across records, and every write that lasts, is here.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl

from etl.errors import AccountingError
from etl.rules.ruleset import Ruleset
from etl.runner import stage_inputs
from etl.runner.counts import Tally
from etl.runner.engine import Engine
from etl.runner.parquet import make_folders, write_table, written_rows
from etl.runner.publish import Stage, staged
from etl.runner.stage_inputs import (
    SILENT,
    Planned,
    Progress,
    RunRequest,
    jobs_for,
    memory_of,
    plan_inputs,
    prove_unchanged,
    run_id,
    survey_inputs,
    transform_inputs,
)
from etl.runner.staged_parts import REPEATED, SUSPECTS, Piece, find_suspects, parts_of, write_part
from etl.runner.tasks import ROWS_PER_PIECE, Report, Task, stage_late
from etl.schema import KEYS, TABLES
from etl.sources.planning import time_of
from etl.sources.storage.inputs import Input, found_inputs
from etl.transform.deduplication import DUPLICATES, find_duplicates

#: The hashes of what was held back are read once for so many pieces.
_PIECES_PER_CALL: Final = 4

#: So many suspects are sorted at a time: what this process needs for it.
_SUSPECTS_PER_GROUP: Final = 50_000


def run_job(request: RunRequest, progress: Progress = SILENT, found: list[Input] | None = None) -> dict[str, Any]:
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
        jobs = jobs_for(inputs, request)
        with request.open_engine(jobs, progress.advance) as engine:
            surveyed = survey_inputs(inputs, request, progress)
            for one in surveyed:
                if one.same_as:
                    progress.warn(f"{one.input.source} holds the same bytes as {one.same_as} and is read once.")
            planned = plan_inputs(surveyed, request)
            tasks, reports = transform_inputs(planned, request, engine, progress, stage_inputs.Stage(stage.pieces))
            progress.begin("writing", 0)
            tally = _finish(stage, tasks, reports, request.ruleset, engine)
        summary = _summarise(request, planned, tasks, reports, tally)
        _prove(summary, planned, tasks, reports, written_rows(stage.new))
        progress.begin("publishing", 0)
        stage.publish(summary)
    return {
        "run_id": run_id(),
        **summary,
        "seconds": round(time.monotonic() - began, 3),
        "peak_memory_bytes": memory_of(jobs, reports),
    }


def _finish(stage: Stage, tasks: list[Task], reports: list[Report], ruleset: Ruleset, engine: Engine) -> Tally:
    """Deduplicates what was staged and writes the four tables, in the order of (source_digest, record_no)."""
    pieces, late = _settled(stage.pieces, [piece for report in reports for piece in report.pieces], ruleset, engine)
    list(engine.map(stage_late, [(tasks[number], rows) for number, rows in late.items()]))
    make_folders(stage.new)
    parts = parts_of(pieces, ROWS_PER_PIECE) or [[]]
    calls = [(part, stage.pieces, stage.new, number) for number, part in enumerate(parts)]
    tally = Tally()
    for part in engine.map(write_part, calls):
        tally += part
    return tally


def _settled(
    stage: Path, pieces: list[Piece], ruleset: Ruleset, engine: Engine
) -> tuple[list[Piece], dict[int, pl.DataFrame]]:
    """Finds the duplicates and stages them beside their pieces.

    Returns:
        The pieces, and of each task what is a duplicate but was not held back.
    """
    held = [piece.read_held(stage, "keys", ["key_hash"]) for piece in pieces]
    write_table(pl.concat([KEYS.empty().select("key_hash"), *held]).unique(maintain_order=True), stage / REPEATED)
    calls = [(pieces[i : i + _PIECES_PER_CALL], stage) for i in range(0, len(pieces), _PIECES_PER_CALL)]
    suspects = pl.concat([SUSPECTS.to_frame(), *engine.map(find_suspects, calls)])
    groups = range(suspects.height // _SUSPECTS_PER_GROUP + 1)
    found = [_duplicates(suspects.filter(pl.col("key_hash") % len(groups) == i), ruleset) for i in groups]
    by_piece = pl.concat(found).partition_by("task", "number", as_dict=True)
    settled: list[Piece] = []
    late: dict[int, pl.DataFrame] = {}
    for piece in pieces:
        duplicates = by_piece.get((piece.task, piece.number), found[0].clear())
        write_table(duplicates.select(DUPLICATES.names()), piece.path(stage, "duplicates"))
        unforeseen = duplicates.filter(~pl.col("is_held"))
        if unforeseen.height:
            late[piece.task] = pl.concat([late.get(piece.task, unforeseen.clear()), unforeseen])
        settled.append(piece._replace(is_final=not unforeseen.height and duplicates.height == piece.held))
    return settled, late


def _duplicates(suspects: pl.DataFrame, ruleset: Ruleset) -> pl.DataFrame:
    """Those of some suspects that are duplicates, of what, and where they are."""
    places = suspects.select("conversion_id", "record_no", "byte_offset", "task", "number", "is_held")
    return find_duplicates(suspects, ruleset.dedup_window).join(places, on="conversion_id")


def _summarise(
    request: RunRequest, planned: list[Planned], tasks: list[Task], reports: list[Report], tally: Tally
) -> dict[str, Any]:
    """The summary but what differs from run to run; it is also the manifest of the published tables."""
    skipped = sum((report.skipped for report in reports), Counter[str]())
    unrecognised = sum((report.unrecognised for report in reports), Counter[str]())
    records: Counter[str] = Counter()
    for task, report in zip(tasks, reports, strict=True):
        records[task.split.source] += report.records
    return {
        "ruleset": {"name": request.ruleset.name, "digest": request.ruleset.digest},
        "inputs": [_describe_input(plan, records, tally, request.reading.settings.timezone) for plan in planned],
        "records": records.total(),
        **{name: tally.rows[name] for name in ("conversions", "items", "passthroughs")},
        "rejections": _by_reason(tally.reasons),
        "skipped": _by_reason(skipped),
        "issues": dict(sorted(tally.issues.items())),
        "unrecognised_parameters": dict(sorted(unrecognised.items(), key=lambda item: (-item[1], item[0]))),
        "value_total": value_total(tally),
    }


def value_total(tally: Tally) -> dict[str, str]:
    """The sum of the conversions' values by currency, in plain notation."""
    return {currency: _plain(value) for currency, value in sorted(tally.values.items())}


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
    prove_unchanged(planned, tasks, reports)
    ended = summary["conversions"] + summary["rejections"]["total"] + summary["skipped"]["total"]
    if summary["records"] != ended:
        raise AccountingError(
            f"{summary['records']} records were read, but {ended} accounted for.", "Report this with the input."
        )
    counted = {table.name: summary[table.name] for table in TABLES[:3]} | {"rejections": summary["rejections"]["total"]}
    if counted != written:
        raise AccountingError(f"The files hold {written} rows, but {counted} were written.", "Check the disk.")
