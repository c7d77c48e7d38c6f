"""A run as OpenLineage events, by the official client: START, then COMPLETE, FAIL or ABORT.

Lineage is told beside the work and never in its way: what cannot be sent is a warning, once, and then no more is tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

from etl.errors import EtlError, InterruptedRunError, UsageError, masked
from etl.schema import TABLES

#: A backend that is down costs a run a few seconds at most, twice.
_HTTP: Final = {"timeout": 5.0, "retry": {"total": 1, "connect": 1, "read": 1}}


@dataclass
class Sender:
    """Where events go.

    Attributes:
        client: None where nobody asks for events, or they cannot be sent.
        warn: Where to say that they cannot be sent.
    """

    client: Any
    warn: Callable[[str], None]

    def send(self, make: Callable[[], Any]) -> None:
        """Makes an event and sends it."""
        self._attempt(lambda client: client.emit(make()))

    def close(self) -> None:
        """Waits some seconds for what is under way."""
        self._attempt(lambda client: client.close(timeout=5.0))

    def _attempt(self, action: Callable[[Any], Any]) -> None:
        if self.client is None:
            return
        try:
            action(self.client)
        except InterruptedRunError:
            self.client = None
            raise
        except Exception as error:
            self.client = None
            self.warn(f"OpenLineage events cannot be sent: {_reason(error)}. The run goes on.")


@dataclass
class Trace:
    """One run, as lineage knows it.

    Attributes:
        job: What is run.
        sender: Where its events go.
        run_id: A name for this run.
        inputs: What was surveyed, as `Progress.survey` is told.
    """

    job: Job
    sender: Sender
    run_id: str = field(default_factory=lambda: str(uuid4()))
    inputs: list[dict[str, Any]] = field(default_factory=list)

    def start(self) -> None:
        """Says that the run has begun."""
        self._send("START", {})

    def complete(self, outcome: dict[str, Any] | None) -> None:
        """Says what was read and written: the summary of a run or the report of a load."""
        self._send("COMPLETE", outcome or {"inputs": self.inputs})

    def fail(self, error: BaseException) -> None:
        """Says why nothing was written."""
        problem = error.problem if isinstance(error, EtlError) else f"{type(error).__name__}: {masked(str(error))}"
        state = "ABORT" if isinstance(error, InterruptedRunError) else "FAIL"
        self._send(state, {"inputs": self.inputs}, problem)

    def _send(self, state: str, outcome: dict[str, Any], problem: str | None = None) -> None:
        self.sender.send(lambda: event_of(self.job, self.run_id, state, outcome, problem))


def opened(address: str | None, warn: Callable[[str], None]) -> Sender:
    """A sender to a URL or a file, or to where the client's own configuration says.

    Args:
        address: A URL, or a file to which a line an event is appended.
        warn: Where to say that events cannot be sent.

    Raises:
        UsageError: The address is given, but not the library.
    """
    if address is None and not _is_configured():
        return Sender(None, warn)
    try:
        import logging

        from openlineage.client import OpenLineageClient
        from openlineage.client.event_v2 import set_producer
    except ImportError as error:
        problem, hint = "OpenLineage needs a library that is not installed.", "Run: pip install 'postback-etl[lineage]'"
        if address is not None:
            raise UsageError(problem, hint) from error
        warn(f"{problem} {hint}")
        return Sender(None, warn)
    logging.getLogger("openlineage").addHandler(logging.NullHandler())
    set_producer(f"urn:postback-etl:{version('postback-etl')}")
    try:
        return Sender(OpenLineageClient(transport=None if address is None else _transport(address)), warn)
    except Exception as error:
        warn(f"OpenLineage cannot be set up: {_reason(error)}. The run goes on.")
        return Sender(None, warn)


def _reason(error: BaseException) -> str:
    """What went wrong underneath all that it was wrapped in."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {' '.join(masked(str(error)).split())[:200]}"


def _is_configured() -> bool:
    """Whether the client would find a configuration of its own."""
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    folders = (Path.cwd(), Path.home() / ".openlineage")
    return any(
        name in {"OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"} or name.startswith("OPENLINEAGE__TRANSPORT")
        for name in os.environ
    ) or any((folder / "openlineage.yml").is_file() for folder in folders)


def _transport(address: str) -> Any:
    if "://" not in address:
        from openlineage.client.transport.file import FileConfig, FileTransport

        return FileTransport(FileConfig(log_file_path=str(Path(address).absolute()), append=True))
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    key = os.environ.get("OPENLINEAGE_API_KEY")
    auth = {"auth": {"type": "api_key", "apiKey": key}} if key else {}
    return HttpTransport(HttpConfig.from_dict({"url": address, **_HTTP, **auth}))


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
