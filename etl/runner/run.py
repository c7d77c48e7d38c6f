"""Runs the job: reads and transforms the inputs, removes duplicates, checks the accounting and publishes the tables.

`stage_inputs` reads and transforms, one batch at a time. This module does all work that looks across batches, and all
writes that last.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl

from etl.errors import AccountingError
from etl.rules.ruleset import RULES_VERSION, Ruleset
from etl.runner.counts import Tally
from etl.runner.engine import Engine
from etl.runner.parquet import make_folders, write_stream, written_rows
from etl.runner.publish import Stage, staged
from etl.runner.quiet_inputs import unread_names, warn_of_inputs, warn_of_passed_over
from etl.runner.stage_inputs import (
    SILENT,
    PlannedInput,
    Plans,
    Progress,
    RunRequest,
    StagingArea,
    jobs_for,
    peak_memory,
    plan_inputs,
    run_id,
    survey_inputs,
    transform_inputs,
)
from etl.runner.staged_parts import REPEATED, SUSPECTS, Piece, find_suspects, parts_of, write_part
from etl.runner.surveyed_records import check_records, records_of
from etl.runner.tasks import ROWS_PER_PIECE, Task, TaskReport, stage_missed_raws
from etl.schema import KEYS, TABLES
from etl.sources.planning import describe_times
from etl.sources.storage.inputs import FoundInputs, found_inputs, stored_bytes
from etl.steps.deduplication import DUPLICATES, find_duplicates

#: Pieces a task of `find_suspects`: each task reads the hashes of the conversions that were held back once.
_PIECES_PER_CALL: Final = 4

#: So many names of parameters that no rule reads are named in the summary; the rest is counted (rules 2.6).
MOST_NAMES: Final = 10_000

#: Suspects that are sorted at a time. This bounds the memory of deduplication (see bench/README.md).
_SUSPECTS_PER_GROUP: Final = 50_000


def run_job(request: RunRequest, progress: Progress = SILENT, found: FoundInputs | None = None) -> dict[str, Any]:
    """Reads the inputs and publishes the four tables.

    Args:
        request: The inputs, the destination and the options.
        progress: Receives the progress of the run.
        found: The inputs, if the caller has found and opened them; by default they are found here.

    Returns:
        The summary, as the contract defines it.

    Raises:
        EtlError: The run failed; the destination is unchanged.
    """
    began = time.monotonic()
    looked_for = found_inputs(list(request.inputs), request.out) if found is None else nullcontext(found)
    with staged(request.out) as stage, looked_for as (inputs, passed_over):
        jobs = jobs_for(stored_bytes(inputs), request)
        with request.open_engine(jobs, progress.advance) as engine:
            surveyed = survey_inputs(inputs, request, progress)
            for item in surveyed:
                if item.same_as:
                    progress.warn(f"{item.input.source} has the same bytes as {item.same_as}; they are read once.")
            planned, unknown = plan_inputs(surveyed, request)
            tasks, reports = transform_inputs(planned, request, engine, progress, StagingArea(stage.pieces))
            progress.begin("writing", 0)
            tally = _write_tables(stage, tasks, reports, request.ruleset, engine)
        summary = _summarise(request, planned, reports, tally)
        summary["left_out"] = [one.input.source for one in unknown]
        summary["passed_over"] = [one._asdict() for one in passed_over]
        _check_accounting(summary, planned, tasks, reports, written_rows(stage.new))
        warn_of_passed_over(passed_over, progress)
        warn_of_inputs(Plans(planned, unknown), tally, unread_names(tasks, reports), request, progress)
        progress.begin("publishing", 0)
        stage.publish(summary)
    return {
        "run_id": run_id(),
        **summary,
        "seconds": round(time.monotonic() - began, 3),
        "peak_memory_bytes": peak_memory(jobs, reports),
    }


def _write_tables(
    stage: Stage, tasks: list[Task], reports: list[TaskReport], ruleset: Ruleset, engine: Engine
) -> Tally:
    """Removes the duplicates among staged conversions and writes the four tables by (source_digest, record_no)."""
    pieces, missed = _stage_duplicates(
        stage.pieces, [piece for report in reports for piece in report.pieces], ruleset, engine
    )
    list(engine.map(stage_missed_raws, [(tasks[number], rows) for number, rows in missed.items()]))
    make_folders(stage.new)
    parts = parts_of(pieces, ROWS_PER_PIECE) or [[]]
    calls = [(part, stage.pieces, stage.new, number) for number, part in enumerate(parts)]
    tally = Tally()
    for part in engine.map(write_part, calls):
        tally += part
    return tally


def _stage_duplicates(
    stage: Path, pieces: list[Piece], ruleset: Ruleset, engine: Engine
) -> tuple[list[Piece], dict[int, pl.DataFrame]]:
    """Finds the duplicates, and stages those of each piece beside it.

    Returns:
        The pieces, and by task number the duplicates that were not held back.
    """
    if not any(piece.held for piece in pieces):
        for piece in pieces:
            piece.write(stage, "duplicates", DUPLICATES.to_frame())
        return [piece._replace(is_final=True) for piece in pieces], {}
    held = pl.concat([KEYS.empty()["key_hash"], *(piece.read_hashes(stage, held=True) for piece in pieces)])
    write_stream(held.unique(maintain_order=True).to_frame(), stage / REPEATED)
    calls = [(pieces[i : i + _PIECES_PER_CALL], stage) for i in range(0, len(pieces), _PIECES_PER_CALL)]
    suspects = pl.concat([SUSPECTS.to_frame(), *engine.map(find_suspects, calls)])
    groups = range(suspects.height // _SUSPECTS_PER_GROUP + 1)
    found = [_duplicates(suspects.filter(pl.col("key_hash") % len(groups) == i), ruleset) for i in groups]
    by_piece = pl.concat(found).partition_by("task", "number", as_dict=True)
    checked: list[Piece] = []
    missed: dict[int, pl.DataFrame] = {}
    for piece in pieces:
        duplicates = by_piece.get((piece.task, piece.number), found[0].clear())
        piece.write(stage, "duplicates", duplicates.select(DUPLICATES.names()))
        not_held = duplicates.filter(~pl.col("is_held"))
        if not_held.height:
            missed[piece.task] = pl.concat([missed.get(piece.task, not_held.clear()), not_held])
        checked.append(piece._replace(is_final=not not_held.height and duplicates.height == piece.held))
    return checked, missed


def _duplicates(suspects: pl.DataFrame, ruleset: Ruleset) -> pl.DataFrame:
    """Finds the duplicates among suspects: rows of `DUPLICATES` with the piece and the position of each record."""
    places = suspects.select("conversion_id", "source_digest", "record_no", "byte_offset", "task", "number", "is_held")
    return find_duplicates(suspects, ruleset.dedup_window).join(places, on="conversion_id")


def _summarise(
    request: RunRequest, planned: list[PlannedInput], reports: list[TaskReport], tally: Tally
) -> dict[str, Any]:
    """Returns the part of the summary that is the same in every run, which is also the manifest."""
    skipped, unrecognised = Counter[str](), Counter[str]()
    for counts in (counts for report in reports for counts in report.counts.values()):
        skipped.update(counts.skipped)
        unrecognised.update(counts.unrecognised)
    records = records_of(reports)
    return {
        "ruleset": {
            "name": request.ruleset.name,
            "digest": request.ruleset.digest,
            "rules_version": RULES_VERSION,
        },
        "options": request.options.given(),
        "inputs": [_describe_input(plan, records, tally, request.reading.settings.timezone) for plan in planned],
        "first_received_at": tally.first and f"{tally.first:%Y-%m-%dT%H:%M:%S.%fZ}",
        "last_received_at": tally.last and f"{tally.last:%Y-%m-%dT%H:%M:%S.%fZ}",
        "records": records.total(),
        **{name: tally.rows[name] for name in ("conversions", "items", "passthroughs")},
        "rejections": _by_reason(tally.reasons),
        "skipped": _by_reason(skipped),
        "issues": dict(sorted(tally.issues.items())),
        **_named_counts(unrecognised),
        **value_sums(tally.values),
    }


def _named_counts(unrecognised: Counter[str]) -> dict[str, Any]:
    """Returns the parameters that no rule reads, most frequent first; of those that do not fit, how many there are."""
    ranked = sorted(unrecognised.items(), key=lambda item: (-item[1], item[0]))
    rest = ranked[MOST_NAMES:]
    left_out = {"names": len(rest), "parameters": sum(count for _, count in rest)}
    return {
        "unrecognised_parameters": dict(ranked[:MOST_NAMES]),
        **({"unrecognised_parameters_left_out": left_out} if rest else {}),
    }


def value_sums(values: Mapping[tuple[str, str], Decimal]) -> dict[str, Any]:
    """Returns sums of values by event and currency as decimal numbers without an exponent.

    Returns:
        `value_total`: the sums by currency. `value_by_event`: the same by event, then by currency, since a refund of 70
        beside a sale of 70 is not 140.
    """
    totals: dict[str, Decimal] = {}
    by_event: dict[str, dict[str, str]] = {}
    for (event, currency), value in sorted(values.items()):
        totals[currency] = totals.get(currency, Decimal(0)) + value
        by_event.setdefault(event, {})[currency] = plain_notation(value)
    total = {currency: plain_notation(value) for currency, value in sorted(totals.items())}
    return {"value_total": total, "value_by_event": by_event}


def plain_notation(value: Decimal) -> str:
    """Formats a decimal number without an exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _describe_input(plan: PlannedInput, records: Counter[str], tally: Tally, timezone: str) -> dict[str, Any]:
    """Returns the entry of an input in the summary."""
    described: dict[str, Any] = {
        "path": plan.input.source,
        "digest": plan.survey.digest,
        "carrier": ", ".join(plan.detected.carriers) or None,
        "format": plan.detected.row.name,
        "compression": plan.survey.codec,
        "bytes": plan.survey.stored_bytes,
        "records": 0 if plan.same_as else records[plan.survey.digest],
        "records_surveyed": 0 if plan.same_as else plan.records,
        "time": describe_times(plan.detected, timezone),
        "bodies_not_logged": 0 if plan.same_as else tally.unlogged[plan.input.source],
        "unread_postbacks": 0 if plan.same_as else tally.unread[plan.input.source],
    }
    if plan.input.is_spooled:
        described["is_spooled"] = True
    if plan.detected.columns:
        described["columns"] = dict(plan.detected.columns)
    if plan.detected.found:
        described["found"] = dict(plan.detected.found)
    return {**described, "same_as": plan.same_as} if plan.same_as else described


def _by_reason(counts: Counter[str]) -> dict[str, Any]:
    """Returns the total and the counts by reason."""
    return {"total": counts.total(), "by_reason": dict(sorted(counts.items()))}


def _check_accounting(
    summary: dict[str, Any],
    planned: list[PlannedInput],
    tasks: list[Task],
    reports: list[TaskReport],
    written: dict[str, int],
) -> None:
    """Checks that each record is counted in exactly one place, and that the files hold the rows that were counted.

    Raises:
        AccountingError: The numbers do not agree.
    """
    check_records(planned, tasks, reports)
    ended = summary["conversions"] + summary["rejections"]["total"] + summary["skipped"]["total"]
    if summary["records"] != ended:
        raise AccountingError(
            f"{summary['records']} records were read, but {ended} are accounted for.", "Report this with the input."
        )
    counted = {table.name: summary[table.name] for table in TABLES[:3]} | {"rejections": summary["rejections"]["total"]}
    if counted != written:
        raise AccountingError(f"The files hold {written} rows, but {counted} were written.", "Check the disk.")
