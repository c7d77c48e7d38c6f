"""`load`: inputs into a warehouse, each once, whatever came before."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import EtlError, UsageError
from etl.runner.counts import Tally
from etl.runner.engine import Engine, TaskContext
from etl.runner.run import value_total
from etl.runner.stage_inputs import (
    SILENT,
    Progress,
    RunRequest,
    Stage,
    Surveyed,
    jobs_for,
    memory_of,
    plan_inputs,
    prove_unchanged,
    run_id,
    survey_inputs,
    transform_inputs,
)
from etl.runner.staged_parts import parts_of
from etl.runner.tasks import Report
from etl.sources.storage.decompress import digest_of_beginning, sniff
from etl.sources.storage.inputs import Input, found_inputs
from etl.sources.storage.locations import find_objects
from etl.warehouse import file_storage, snapshots
from etl.warehouse.file_writer import RECORDS_PER_PART, Part, files_of_parts, write_part
from etl.warehouse.load_decisions import RELOAD, SKIP, Compare, Decision, decide, described
from etl.warehouse.load_duplicates import Verdict, agreed_dedup, dedup_of
from etl.warehouse.load_history import Run, new_entries, rules_digest, seen_entries
from etl.warehouse.row_changes import Change, apply, judged
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import LOADS

_NUMBERS: Final = ("records", "conversions", "items", "passthroughs", "rejections", "skipped")
_MOVES: Final = ("duplicates", "demoted", "promoted")
#: The counts of a load that reads nothing.
_NOTHING: Final[dict[str, Any]] = dict.fromkeys((*_NUMBERS, *_MOVES), 0) | {
    name: {} for name in ("rejections_by_reason", "skipped_by_reason", "issues", "value_total")
}


class _Read(NamedTuple):
    """What was read of the inputs: their rows of `loads`, the files of their rows, what else that changes."""

    entries: pl.DataFrame
    parts: list[Part]
    verdict: Verdict
    peak_memory_bytes: int


def load(
    request: RunRequest, into: str, *, is_reload: bool = False, is_dry_run: bool = False, progress: Progress = SILENT
) -> dict[str, Any]:
    """Loads inputs into a warehouse.

    Args:
        request: The inputs and the rules; its `out` is not used.
        into: The warehouse: a folder or an address of an object store.
        is_reload: Inputs that are known are read again, by the present rules.
        is_dry_run: Nothing is written.
        progress: Where to tell how it gets on.

    Returns:
        The report: `run_id` (null if nothing was written), `warehouse`, `inputs` (each with path, digest, bytes,
        action, why), and, of what was loaded, `records`, `conversions`, `items`, `passthroughs`, `rejections`,
        `duplicates` among them, and `skipped`, both by reason too, `issues` and `value_total`; of earlier rows, how
        many were `demoted` to duplicates and `promoted` to conversions.

    Raises:
        ConflictError: Another command changed the warehouse meanwhile.
        EtlError: The load failed; the warehouse is as it was.
    """
    folder = file_storage.place_of(into).folder or Path("/nonexistent")  # whose files are no inputs
    with found_inputs(list(request.inputs), folder) as inputs:
        _refuse_within(into, inputs)
        if is_dry_run:
            known = snapshots.viewed(into).scan("loads").collect() if snapshots.is_warehouse(into) else LOADS.empty()
            return _report(into, _decided(inputs, request, known, progress, is_reload=is_reload))
        with snapshots.written(into) as warehouse:
            known = warehouse.scan("loads").collect()
            decisions = _decided(inputs, request, known, progress, is_reload=is_reload)
            return _report(into, decisions) | _carried_out(decisions, request, warehouse, known, progress)


def _refuse_within(into: str, inputs: list[Input]) -> None:
    place = file_storage.place_of(into)
    for item in inputs:
        if file_storage.is_within(place, item.path):
            raise UsageError(f"{item.source} lies in the warehouse.", "Name logs and dumps that lie outside of it.")


def _decided(
    inputs: list[Input], request: RunRequest, known: pl.DataFrame, progress: Progress, *, is_reload: bool
) -> list[Decision]:
    surveyed = survey_inputs(inputs, request, progress)
    compare = _comparison(surveyed, known)
    return decide(surveyed, known, rules_digest(request), compare, is_reload=is_reload)


def _comparison(surveyed: list[Surveyed], known: pl.DataFrame) -> Compare:
    """Reads the beginning of an input that is at hand, or that still lies under a name it had."""
    at_hand = {one.survey.digest: one for one in surveyed}
    rows = {row["digest"]: row for row in known.select("digest", "names", "bytes").iter_rows(named=True)}

    def compare(digest: str, size: int) -> str | None:
        if digest in at_hand:
            one = at_hand[digest]
            return digest_of_beginning(one.input.path, one.survey.codec, one.input.source, size)
        for name in rows[digest]["names"]:
            with suppress(EtlError, OSError):
                location: Any = find_objects(name)[0] if "://" in name else Path(name)
                codec, _ = sniff(location, name)
                if digest_of_beginning(location, codec, name, rows[digest]["bytes"] + 1) == digest:
                    return digest_of_beginning(location, codec, name, size)
        return None

    return compare


def _carried_out(
    decisions: list[Decision], request: RunRequest, warehouse: Warehouse, known: pl.DataFrame, progress: Progress
) -> dict[str, Any]:
    """Does what was decided; gives `run_id` and the counts of the report."""
    read = [decision for decision in decisions if decision.action != SKIP]
    seen = [decision for decision in decisions if decision.is_new_name]
    if not read and not seen:
        return {}
    run = Run(run_id(), request)
    dedup = agreed_dedup(warehouse, request.ruleset) if read else warehouse.snapshot.dedup
    removed = frozenset(one.digest for one in read if one.action == RELOAD).union(*(one.replaces for one in read))
    done = _read(run, read, warehouse, removed, progress)
    progress.begin("publishing", 0)
    change = Change(
        run.run_id,
        removed=removed,
        renamed={one.digest: one.names[0] for one in seen},
        files=files_of_parts(done.parts),
        loads=pl.concat([done.entries, seen_entries(known, seen)]),
    )
    apply(warehouse, change, done.verdict, dedup)
    return {"run_id": run.run_id, **_counted(done)}


def _read(run: Run, read: list[Decision], warehouse: Warehouse, removed: frozenset[str], progress: Progress) -> _Read:
    """Reads and transforms inputs, finds duplicates, and writes the files of their rows into the staging folder."""
    request = run.request
    stage = Stage(warehouse.folder("pieces"), keeps_raws=True)
    inputs = [_representative(decision) for decision in read]
    jobs = jobs_for([one.input for one in inputs], request)
    with request.open_engine(jobs, progress.advance) as engine:
        planned = plan_inputs(inputs, request)
        tasks, reports = transform_inputs(planned, request, engine, progress, stage)
        prove_unchanged(planned, tasks, reports)
        progress.begin("writing", 0)
        keys = [piece.path(stage.folder, "keys") for report in reports for piece in report.pieces]
        verdict = judged(warehouse, keys, removed, dedup_of(request.ruleset))
        verdict.new.write_parquet(stage.folder / "duplicates.parquet")
        parts = _written(engine, reports, stage.folder, warehouse.folder("new"), run.run_id)
    entries = new_entries(run, read, planned, (tasks, reports), parts)
    return _Read(entries, parts, verdict, memory_of(jobs, reports))


def _representative(decision: Decision) -> Surveyed:
    """The input under the name that its rows bear."""
    one = decision.surveyed
    return Surveyed(one.input._replace(source=decision.names[0]), one.survey, None)


def _written(engine: Engine, reports: list[Report], stage: Path, out: Path, run: str) -> list[Part]:
    parts = parts_of([piece for report in reports for piece in report.pieces], RECORDS_PER_PART)
    calls = [(pieces, stage, out, f"{run}-{number:05d}") for number, pieces in enumerate(parts)]
    return list(engine.map(_write_part, calls))


def _counted(done: _Read) -> dict[str, Any]:
    """Of what was loaded: records, and where they ended; of earlier rows, how many moved."""
    tally = Tally()
    for part in done.parts:
        tally += part.tally
    skipped = sum(
        (Counter({one["reason"]: one["count"]}) for counts in done.entries["skipped"] for one in counts), Counter[str]()
    )
    return {
        "records": done.entries["records"].sum(),
        **{name: tally.rows[name] for name in ("conversions", "items", "passthroughs")},
        "rejections": tally.reasons.total(),
        "rejections_by_reason": dict(sorted(tally.reasons.items())),
        "skipped": skipped.total(),
        "skipped_by_reason": dict(sorted(skipped.items())),
        "issues": dict(sorted(tally.issues.items())),
        "value_total": value_total(tally),
        "duplicates": done.verdict.new.height,
        "demoted": done.verdict.demoted.height,
        "promoted": done.verdict.promoted.height,
        "peak_memory_bytes": done.peak_memory_bytes,
    }


def _report(address: str, decisions: list[Decision]) -> dict[str, Any]:
    inputs = [described(one) for one in decisions]
    return {"run_id": None, "warehouse": address, "inputs": inputs, **_NOTHING}


def _write_part(_context: TaskContext, *call: Any) -> Part:
    """`write_part` as a task of an engine."""
    return write_part(*call)
