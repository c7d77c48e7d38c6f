"""Runs the job: reads and transforms the inputs, removes duplicates, checks the accounting and publishes the tables.

`stage_inputs` reads and transforms, one batch at a time. This module does all work that looks across batches, and all
writes that last.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from etl.errors import AccountingError, UsageError
from etl.rules.ruleset import RULES_VERSION
from etl.runner.counts import Tally
from etl.runner.disk_space import pieces_in, temporary_files_in
from etl.runner.engine import Engine
from etl.runner.parquet import files_of, make_folders
from etl.runner.publish import Stage, staged
from etl.runner.publish_to_store import StoreStage, staged_in_store
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
from etl.runner.staged_parts import count_written, parts_of, write_part
from etl.runner.surveyed_records import check_records, records_of
from etl.runner.tasks import ROWS_PER_PIECE, Task, TaskReport, stage_missed_raws
from etl.schema import TABLES
from etl.sources.bundles import bundled
from etl.sources.planning import describe_times
from etl.sources.storage.inputs import FoundInputs, Input, found_inputs, stored_bytes
from etl.sources.storage.store_paths import Folder, StorePath
from etl.sources.storage.unnamed_files import Copies, UnnamedFiles

#: So many names of parameters that no rule reads are named in the summary; the rest is counted (rules 2.6).
MOST_NAMES: Final = 10_000

#: Files whose rows a task counts.
_COUNTED_FILES: Final = 500


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
    with (
        temporary_files_in(request.tmp),
        _staged(request.out) as stage,
        pieces_in(request.tmp, stage.pieces, request.out if isinstance(request.out, Path) else stage.pieces) as pieces,
        looked_for as (inputs, passed_over),
        UnnamedFiles(pieces if isinstance(pieces, Path) else None) as files,
    ):
        _refuse_within(request.out, inputs)
        jobs = jobs_for(stored_bytes(inputs), request)
        with request.open_engine(jobs, progress.advance) as engine:
            surveyed = survey_inputs(inputs, request, progress, engine, Copies(files))
            for item in surveyed:
                if item.same_as:
                    progress.warn(f"{item.input.source} has the same bytes as {item.same_as}; they are read once.")
            planned, unknown = plan_inputs(surveyed, request)
            area = StagingArea(pieces, tables=stage.new)
            tasks, reports = transform_inputs(planned, request, engine, progress, area)
            progress.begin("writing", 0)
            tally = _write_tables(area.folder, stage.new, (tasks, reports), request, engine)
            written = _written_rows(stage.new, engine)
        summary = _summarise(request, planned, reports, tally)
        summary["left_out"] = [one.input.source for one in unknown]
        summary["passed_over"] = [one._asdict() for one in passed_over]
        _check_accounting(summary, planned, tasks, reports, written)
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


def _staged(out: Folder) -> AbstractContextManager[Stage | StoreStage]:
    """Opens the staging folder of a destination."""
    return staged_in_store(out) if isinstance(out, StorePath) else staged(out)


def _refuse_within(out: Folder, inputs: list[Input]) -> None:
    """Checks that no input lies in the folder of a store that is written.

    Raises:
        UsageError: An input does.
    """
    for item in inputs:
        if isinstance(out, StorePath) and item.source.startswith(f"{out}/"):
            raise UsageError(f"{item.source} lies in --out.", "Name inputs that lie outside of it.")


def _write_tables(
    stage: Folder, new: Folder, done: tuple[list[Task], list[TaskReport]], request: RunRequest, engine: Engine
) -> Tally:
    """Removes the duplicates among staged conversions and writes the four tables by (source_digest, record_no)."""
    tasks, reports = done
    staged_pieces = [piece for report in reports for piece in report.pieces]
    pieces, missed = engine.settle(staged_pieces, stage, request.ruleset)
    bundles = bundled([tasks[number] for number in missed], lambda task: task.splits, engine.bundle_bytes)
    calls = [(bundle, {task.number: missed[task.number] for task in bundle}) for bundle in bundles]
    list(engine.map(stage_missed_raws, calls))
    make_folders(new)
    parts = parts_of(pieces, request.records_per_file or ROWS_PER_PIECE) or [[]]
    written = [(part, stage, new, number, request.partition_by) for number, part in enumerate(parts)]
    tally = Tally()
    for part in engine.map(write_part, written):
        tally += part
    return tally


def _written_rows(out: Folder, engine: Engine) -> dict[str, int]:
    """Counts the rows of each table in the files on disk."""
    calls = [
        (table.name, paths[i : i + _COUNTED_FILES])
        for table in TABLES
        for paths in [files_of(out, table.name)]
        for i in range(0, len(paths), _COUNTED_FILES)
    ]
    rows = Counter[str]()
    for (name, _), count in zip(calls, engine.map(count_written, [(paths,) for _, paths in calls]), strict=True):
        rows[name] += count
    return {table.name: rows[table.name] for table in TABLES}


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
