"""What an OpenLineage event says of a run: the job, what it read, and the tables it wrote."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

from etl.schema import TABLES


class Job(NamedTuple):
    """What is run: a command, and the folder or warehouse that it writes."""

    command: str
    target: str

    @property
    def name(self) -> str:
        """What tells it from other jobs, wherever it is called from."""
        place = self.target if "://" in self.target else os.path.abspath(self.target)  # noqa: PTH100 - keeps links
        return f"postback-etl.{self.command}.{place}"


def event_of(job: Job, run_id: str, state: str, outcome: dict[str, Any], problem: str | None) -> Any:
    """An event of the official client.

    Args:
        job: What is run.
        run_id: A UUID.
        state: START, COMPLETE, FAIL or ABORT.
        outcome: The summary of a run or the report of a load, or as much of it as is known.
        problem: Why it failed.
    """
    from openlineage.client.event_v2 import Job as LineageJob
    from openlineage.client.event_v2 import Run, RunEvent, RunState
    from openlineage.client.facet_v2 import error_message_run, job_type_job, processing_engine_run

    facets: dict[str, Any] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(version("postback-etl"), "postback-etl"),
        **_parent(),
    }
    if problem is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(problem, programmingLanguage="PYTHON")
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="POSTBACK_ETL", jobType="COMMAND")
    return RunEvent(
        eventTime=datetime.now(UTC).isoformat(),
        eventType=getattr(RunState, state),
        run=Run(run_id, facets),
        job=LineageJob(os.environ.get("OPENLINEAGE_NAMESPACE", "default"), job.name, {"jobType": kind}),
        inputs=[_input(one) for one in outcome.get("inputs", []) if one.get("action") != "skip" and one["path"] != "-"],
        outputs=[_output(job.target, table.name, outcome) for table in TABLES],
    )


def _parent() -> dict[str, Any]:
    """The run that called the command, where a scheduler says it as `NAMESPACE/JOB/RUN`."""
    from openlineage.client.facet_v2 import parent_run

    namespace, _, rest = os.environ.get("OPENLINEAGE_PARENT_ID", "").partition("/")
    job, _, run = rest.rpartition("/")
    if not (namespace and job and run):
        return {}
    return {"parent": parent_run.ParentRunFacet(run=parent_run.Run(run), job=parent_run.Job(namespace, job))}


def _input(described: dict[str, Any]) -> Any:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import input_statistics_input_dataset as statistics

    counted = statistics.InputStatisticsInputDatasetFacet(described.get("records"), described["bytes"], 1)
    return InputDataset(*name_of(described["path"]), {"inputStatistics": counted})


def _output(target: str, name: str, outcome: dict[str, Any]) -> Any:
    """A table with its columns and, if they were counted, the rows that were written."""
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics
    from openlineage.client.facet_v2 import schema_dataset

    columns = next(table.columns for table in TABLES if table.name == name)
    fields = [schema_dataset.SchemaDatasetFacetFields(one.name, one.type_name, one.meaning) for one in columns]
    found = outcome.get(name)
    rows = found["total"] if isinstance(found, dict) else found
    counted: Any = {} if rows is None else {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rows)}
    facets: Any = {"schema": schema_dataset.SchemaDatasetFacet(fields)}
    return OutputDataset(*name_of(f"{target.rstrip('/')}/{name}"), counted, facets=facets)


def name_of(address: str) -> tuple[str, str]:
    """The namespace and name of a file, folder or object, by OpenLineage's rules for naming.

    Examples:
        >>> name_of("s3://bucket/warehouse/conversions")
        ('s3://bucket', 'warehouse/conversions')
        >>> name_of("/srv/logs/access.log")
        ('file', '/srv/logs/access.log')
    """
    from openlineage.client.naming import dataset

    scheme, mark, rest = address.partition("://")
    bucket, _, path = rest.partition("/")
    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    named: Any = dataset.LocalFileSystem(os.path.abspath(address))  # noqa: PTH100 - keeps links
    if scheme == "az" and account:
        named = dataset.ABFSS(bucket, account, path)
    elif mark:
        return f"{scheme}://{bucket}", path  # as S3 and GCS have it
    return named.get_namespace(), named.get_name()
