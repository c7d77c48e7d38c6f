"""A dry run: finds, surveys and reads the inputs as a run does, and refuses what it would refuse. Writes nothing."""

from __future__ import annotations

from typing import Any

from etl.runner.disk_space import DiskNeed, temporary_files_in
from etl.runner.publish import check_destination, check_lock, staging_of
from etl.runner.publish_to_store import staged_in_store
from etl.runner.quiet_inputs import warn_of_passed_over, warn_of_unknown
from etl.runner.stage_inputs import (
    SILENT,
    PlannedInput,
    Plans,
    Progress,
    RunRequest,
    StagingArea,
    jobs_for,
    plan_inputs,
    survey_inputs,
    transform_inputs,
)
from etl.sources.storage.inputs import found_inputs
from etl.sources.storage.store_paths import Folder, StorePath


def rehearse_run(request: RunRequest, progress: Progress = SILENT) -> dict[str, Any]:
    """Finds what a run would read.

    Returns:
        `inputs`, each with path, digest, carrier, format, compression and bytes, and the number of records where the
        survey shows it; `left_out` and `passed_over` as in the summary of a run; `disk` of `rehearse_reading`.

    Raises:
        EtlError: The run would end with this error.
    """
    if isinstance(request.out, StorePath):
        with staged_in_store(request.out):
            pass
    else:
        check_destination(request.out)
        check_lock(staging_of(request.out), "--out")
    with temporary_files_in(request.tmp), found_inputs(list(request.inputs), request.out) as (inputs, passed_over):
        with request.open_engine(1, progress.advance) as engine:
            plans = plan_inputs(survey_inputs(inputs, request, progress, engine), request)
        warn_of_passed_over(passed_over, progress)
        warn_of_unknown(plans, progress)
        disk = rehearse_reading(plans, request, request.out, progress)
        return {
            "inputs": [_described(plan) for plan in sorted(plans.planned, key=lambda plan: plan.input.source)],
            "left_out": [one.input.source for one in plans.unknown],
            "passed_over": [one._asdict() for one in passed_over],
            **disk,
        }


def rehearse_reading(
    plans: Plans, request: RunRequest, tables: Folder, progress: Progress
) -> dict[str, list[dict[str, Any]]]:
    """Reads all records of inputs, without a transform; returns what the report says of it.

    Args:
        plans: The inputs.
        request: How they are read.
        tables: The folder in which the tables would be written.
        progress: Receives the progress.

    Returns:
        `disk`: what the run would need on each disk, in words and in bytes.

    Raises:
        EtlError: A run would end with this error.
    """
    needs: list[DiskNeed] = []
    jobs = jobs_for(sum(plan.survey.stored_bytes for plan in plans.planned), request)
    area = StagingArea(request.tmp or tables, tables=tables, is_rehearsal=True)
    with request.open_engine(jobs, progress.advance) as engine:
        transform_inputs(plans.planned, request, engine, progress._replace(need=needs.extend), area)
    told = [need for need in needs if need.needed]
    return {"disk": [{"needs": str(need), "needed_bytes": need.needed, "free_bytes": need.free} for need in told]}


def _described(plan: PlannedInput) -> dict[str, Any]:
    """Returns the entry of an input: what the summary of a run also says of it."""
    return {
        "path": plan.input.source,
        "digest": plan.survey.digest,
        "carrier": ", ".join(plan.detected.carriers) or None,
        "format": plan.detected.row.name,
        "compression": plan.survey.codec,
        "bytes": plan.survey.stored_bytes,
        "records_surveyed": plan.records,
        **({"same_as": plan.same_as} if plan.same_as else {}),
    }
