"""`load` loads inputs into a warehouse, each input once, in whatever order they arrive."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from etl.errors import EtlError, UsageError
from etl.runner.disk_space import pieces_in, temporary_files_in
from etl.runner.engine import Engine, TaskContext
from etl.runner.parquet import write_table
from etl.runner.quiet_inputs import unread_names, warn_of_inputs, warn_of_passed_over, warn_of_unknown
from etl.runner.rehearsal import rehearse_reading
from etl.runner.stage_inputs import (
    SILENT,
    Plans,
    Progress,
    RunRequest,
    StagingArea,
    SurveyedInput,
    jobs_for,
    peak_memory,
    plan_inputs,
    run_id,
    survey_inputs,
    transform_inputs,
)
from etl.runner.staged_parts import parts_of
from etl.runner.surveyed_records import check_records
from etl.runner.tasks import TaskReport
from etl.sources.storage.decompress import sniff
from etl.sources.storage.inputs import Input, found_inputs
from etl.sources.storage.object_stores import find_objects
from etl.sources.storage.store_paths import Folder
from etl.sources.storage.surveys import digest_of_beginning
from etl.sources.storage.unnamed_files import Copies, UnnamedFiles
from etl.warehouse import file_storage, snapshots
from etl.warehouse.file_writer import NEW_DUPLICATES, RECORDS_PER_PART, WrittenPart, files_of_parts, write_part
from etl.warehouse.load_decisions import (
    RELOAD,
    SKIP,
    Compare,
    Decision,
    decide,
    named_first,
    skip_unknown,
)
from etl.warehouse.load_duplicates import StagedPieces, checked_dedup_settings, dedup_settings
from etl.warehouse.load_history import Run, new_entries, rules_versions, stage_emptied, updated_entries
from etl.warehouse.load_report import LoadedRows, loaded_counts, report_of, tally_of, with_unread
from etl.warehouse.row_changes import Change, apply, duplicate_changes
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import LOADS


def load(
    request: RunRequest, into: str, *, is_reload: bool = False, is_dry_run: bool = False, progress: Progress = SILENT
) -> dict[str, Any]:
    """Loads inputs into a warehouse.

    Args:
        request: The inputs and the rules; its `out` is not used.
        into: The warehouse: a folder or an address of an object store.
        is_reload: Read known inputs again, with the present rules.
        is_dry_run: Decide, but write nothing.
        progress: Receives the progress.

    Returns:
        The report: `run_id` (null if nothing was written), `warehouse`, and `inputs` (each with path, digest, bytes,
        action and why). For the loaded inputs `records`, `conversions`, `items`, `passthroughs`, `rejections` and
        `skipped`, the last two also by reason, `duplicates` among the rejections, `issues`, `value_total`
        and `value_by_event`. Of earlier rows, how many were `demoted` to duplicates and `promoted` to conversions.

    Raises:
        ConflictError: Another command changed the warehouse meanwhile.
        EtlError: The load failed; the warehouse is unchanged.
    """
    folder = file_storage.place_of(into).folder or Path("/nonexistent")  # the warehouse's own files are no inputs
    with temporary_files_in(request.tmp), found_inputs(list(request.inputs), folder) as (inputs, passed_over):
        _refuse_within(into, inputs)
        warn_of_passed_over(passed_over, progress)
        more = {"passed_over": [one._asdict() for one in passed_over]}
        if is_dry_run:
            decisions, disk = _rehearse(inputs, request, into, progress, is_reload=is_reload)
            return report_of(into, decisions) | more | disk
        with (
            snapshots.open_for_writing(into, is_remote=request.is_remote) as warehouse,
            UnnamedFiles(request.tmp or _on_disk(warehouse.folder("copies"))) as files,
        ):
            known = warehouse.scan("loads").collect()
            skipped = frozenset() if is_reload else frozenset(known["names"].explode())
            surveyed = _survey(inputs, request, progress, Copies(files, skipped))
            decisions = _decide_inputs(surveyed, request, known, is_reload=is_reload)
            plans, decisions = _plan_decided(decisions, request)
            done = _carry_out((plans, decisions), request, warehouse, known, progress)
            return with_unread(report_of(into, decisions) | more | done)


def _on_disk(folder: Folder) -> Path | None:
    return folder if isinstance(folder, Path) else None


def _rehearse(
    inputs: list[Input], request: RunRequest, into: str, progress: Progress, *, is_reload: bool
) -> tuple[list[Decision], dict[str, Any]]:
    """Decides on the inputs without any change; returns also what disk a load needs. Refuses what a load refuses."""
    snapshots.check_for_writing(into)
    warehouse = snapshots.open_for_reading(into) if snapshots.is_warehouse(into) else None
    known = warehouse.scan("loads").collect() if warehouse else LOADS.empty()
    decisions = _decide_inputs(_survey(inputs, request, progress), request, known, is_reload=is_reload)
    plans, decisions = _plan_decided(decisions, request)
    warn_of_unknown(plans, progress)
    if warehouse and plans.planned:
        checked_dedup_settings(warehouse, request.ruleset)
    staging = file_storage.staging_of(file_storage.place_of(into))
    return decisions, rehearse_reading(plans, request, staging, progress)


def _refuse_within(into: str, inputs: list[Input]) -> None:
    """Checks that no input lies in the warehouse.

    Raises:
        UsageError: An input does.
    """
    place = file_storage.place_of(into)
    for item in inputs:
        if file_storage.is_within(place, item.path):
            raise UsageError(f"{item.source} lies in the warehouse.", "Name logs and dumps that lie outside of it.")


def _survey(
    inputs: list[Input], request: RunRequest, progress: Progress, copies: Copies | None = None
) -> list[SurveyedInput]:
    """Surveys the inputs in this process."""
    with request.open_engine(1, progress.advance) as engine:
        return survey_inputs(inputs, request, progress, engine, copies)


def _decide_inputs(
    surveyed: list[SurveyedInput], request: RunRequest, known: pl.DataFrame, *, is_reload: bool
) -> list[Decision]:
    """Decides what to do with each input."""
    compare = _comparison(surveyed, known)
    return decide(surveyed, known, rules_versions(request), compare, is_reload=is_reload)


def _plan_decided(decisions: list[Decision], request: RunRequest) -> tuple[Plans, list[Decision]]:
    """Detects the format of each input that is to be read; returns the plans and the decisions, see `skip_unknown`."""
    read = [named_first(decision) for decision in decisions if decision.action != SKIP]
    known = [decision.surveyed.input for decision in decisions if decision.action == SKIP]
    plans = plan_inputs(read, request, known)
    return plans, skip_unknown(decisions, {one.input.source for one in plans.unknown})


def _comparison(surveyed: list[SurveyedInput], known: pl.DataFrame) -> Compare:
    """Returns a function that digests the first bytes of an input, from the given inputs or from a former path."""
    at_hand = {item.survey.digest: item for item in surveyed}
    rows = {row["digest"]: row for row in known.select("digest", "names", "bytes").iter_rows(named=True)}

    def compare(digest: str, size: int) -> str | None:
        if digest in at_hand:
            item = at_hand[digest]
            return digest_of_beginning(item.input.path, item.survey.codec, item.input.source, size)
        for name in rows[digest]["names"]:
            with suppress(EtlError, OSError):
                location: Any = find_objects(name)[0] if "://" in name else Path(name)
                codec, _ = sniff(location, name)
                if digest_of_beginning(location, codec, name, rows[digest]["bytes"] + 1) == digest:
                    return digest_of_beginning(location, codec, name, size)
        return None

    return compare


def _carry_out(
    planned: tuple[Plans, list[Decision]],
    request: RunRequest,
    warehouse: Warehouse,
    known: pl.DataFrame,
    progress: Progress,
) -> dict[str, Any]:
    """Carries the decisions out; returns `run_id` and the counts of the report."""
    plans, decisions = planned
    read = [decision for decision in decisions if decision.action != SKIP]
    seen = [decision for decision in decisions if decision.is_new_name]
    if not read and not seen:
        warn_of_unknown(plans, progress)
        return {}
    run = Run(run_id(), request)
    dedup = checked_dedup_settings(warehouse, request.ruleset) if read else warehouse.snapshot.dedup
    removed = frozenset(decision.digest for decision in read if decision.action == RELOAD).union(
        *(decision.replaces for decision in read)
    )
    done = _read_inputs(run, (plans, read), warehouse, removed, progress)
    progress.begin("publishing", 0)
    change = Change(
        run.run_id,
        removed=removed,
        renamed={decision.digest: decision.names[0] for decision in seen},
        files=files_of_parts(done.parts),
        loads=pl.concat([done.entries, updated_entries(known, seen)]),
    )
    apply(warehouse, change, done.duplicates, dedup)
    return {"run_id": run.run_id, **loaded_counts(done)}


def _read_inputs(
    run: Run,
    planned: tuple[Plans, list[Decision]],
    warehouse: Warehouse,
    removed: frozenset[str],
    progress: Progress,
) -> LoadedRows:
    """Reads and transforms inputs, finds duplicates, and writes the files of new rows into the staging folder."""
    request = run.request
    plans, read = planned
    jobs = jobs_for(sum(plan.survey.stored_bytes for plan in plans.planned), request)
    with (
        pieces_in(request.tmp, warehouse.folder("pieces"), warehouse.folder("pieces")) as folder,
        request.open_engine(jobs, progress.advance) as engine,
    ):
        stage = StagingArea(folder, keeps_raws=True, tables=warehouse.folder("new"))
        tasks, reports = transform_inputs(plans.planned, request, engine, progress, stage)
        check_records(plans.planned, tasks, reports)
        progress.begin("writing", 0)
        staged = StagedPieces([piece for report in reports for piece in report.pieces], folder)
        duplicates = duplicate_changes(warehouse, staged, removed, dedup_settings(request.ruleset))
        write_table(duplicates.new, folder / NEW_DUPLICATES)
        emptied = stage_emptied(warehouse, read, folder)
        parts = _write_parts(engine, reports, folder, warehouse.folder("new"), run.run_id)
    entries = new_entries(run, read, plans.planned, reports, parts).update(emptied, on="digest")
    warn_of_inputs(plans, tally_of(parts), unread_names(tasks, reports), request, progress)
    surveyed = {plan.survey.digest: plan.records for plan in plans.planned}
    return LoadedRows(entries, parts, duplicates, peak_memory(jobs, reports), surveyed)


def _write_parts(engine: Engine, reports: list[TaskReport], stage: Folder, out: Folder, run: str) -> list[WrittenPart]:
    """Writes the files of new rows, as tasks of an engine."""
    parts = parts_of([piece for report in reports for piece in report.pieces], RECORDS_PER_PART)
    calls = [(pieces, stage, out, f"{run}-{number:05d}") for number, pieces in enumerate(parts)]
    return list(engine.map(_write_part, calls))


def _write_part(_context: TaskContext, *call: Any) -> WrittenPart:
    """Runs `write_part` as a task of an engine."""
    return write_part(*call)
