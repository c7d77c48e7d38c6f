"""Sends a run as OpenLineage events, by the official client: START, then COMPLETE, FAIL or ABORT.

Lineage never fails a run: if an event cannot be sent, the run warns once and sends no more events.
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

#: Options of the HTTP transport: a backend that is down delays a run by some seconds at most.
_HTTP: Final = {"timeout": 5.0, "retry": {"total": 1, "connect": 1, "read": 1}}


@dataclass
class Sender:
    """Sends events.

    Attributes:
        client: The OpenLineage client. None if no events are asked for, or if they cannot be sent.
        warn: Receives the warning that events cannot be sent.
    """

    client: Any
    warn: Callable[[str], None]

    def send(self, make: Callable[[], Any]) -> None:
        """Calls `make` for an event and sends the event."""
        self._attempt(lambda client: client.emit(make()))

    def close(self) -> None:
        """Waits up to five seconds for events that are being sent."""
        self._attempt(lambda client: client.close(timeout=5.0))

    def _attempt(self, action: Callable[[Any], Any]) -> None:
        """Calls an action with the client. An exception becomes a warning and ends sending; an interrupt is raised."""
        if self.client is None:
            return
        try:
            action(self.client)
        except InterruptedRunError:
            self.client = None
            raise
        except Exception as error:
            self.client = None
            self.warn(f"OpenLineage events cannot be sent: {_root_cause(error)}. The run goes on.")


@dataclass
class Trace:
    """Sends the events of one run.

    Attributes:
        job: The command and its target.
        sender: Sends the events.
        run_id: A UUID for this run.
        inputs: The surveyed inputs, as `Progress.survey` receives them.
    """

    job: Job
    sender: Sender
    run_id: str = field(default_factory=lambda: str(uuid4()))
    inputs: list[dict[str, Any]] = field(default_factory=list)

    def start(self) -> None:
        """Sends START."""
        self._send("START", {})

    def complete(self, outcome: dict[str, Any] | None) -> None:
        """Sends COMPLETE with the inputs and the written rows.

        Args:
            outcome: The summary of a run or the report of a load; None if nothing was published.
        """
        self._send("COMPLETE", outcome or {"inputs": self.inputs})

    def fail(self, error: BaseException) -> None:
        """Sends FAIL, or ABORT after an interrupt, with the error message."""
        problem = error.problem if isinstance(error, EtlError) else f"{type(error).__name__}: {masked(str(error))}"
        state = "ABORT" if isinstance(error, InterruptedRunError) else "FAIL"
        self._send(state, {"inputs": self.inputs}, problem)

    def _send(self, state: str, outcome: dict[str, Any], problem: str | None = None) -> None:
        self.sender.send(lambda: make_event(self.job, self.run_id, state, outcome, problem))


def open_sender(address: str | None, warn: Callable[[str], None]) -> Sender:
    """Opens a sender to an address, or to the place in the client's own configuration.

    Args:
        address: A URL, or a file to which each event is appended as one line; None for the client's configuration.
        warn: Receives the warning that events cannot be sent.

    Raises:
        UsageError: An address is given, but the OpenLineage client is not installed.
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
        warn(f"OpenLineage cannot be set up: {_root_cause(error)}. The run goes on.")
        return Sender(None, warn)


def _root_cause(error: BaseException) -> str:
    """Returns type and message of the exception at the start of a chain of exceptions, without credentials."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {' '.join(masked(str(error)).split())[:200]}"


def _is_configured() -> bool:
    """Whether the environment or an `openlineage.yml` configures the client."""
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    if any(
        name in {"OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"} or name.startswith("OPENLINEAGE__TRANSPORT")
        for name in os.environ
    ):
        return True
    # In a container there may be no home, or one that may not be read: unlike `Path`, `os.path` then finds no file.
    places = ("openlineage.yml", os.path.expanduser("~/.openlineage/openlineage.yml"))  # noqa: PTH111
    return any(os.path.isfile(place) for place in places)  # noqa: PTH113


def _transport(address: str) -> Any:
    """Returns the client's transport to a file or a URL."""
    if "://" not in address:
        from openlineage.client.transport.file import FileConfig, FileTransport

        return FileTransport(FileConfig(log_file_path=str(Path(address).absolute()), append=True))
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    key = os.environ.get("OPENLINEAGE_API_KEY")
    auth = {"auth": {"type": "api_key", "apiKey": key}} if key else {}
    return HttpTransport(HttpConfig.from_dict({"url": address, **_HTTP, **auth}))


class Job(NamedTuple):
    """A command, and the folder or warehouse that it writes."""

    command: str
    target: str

    @property
    def name(self) -> str:
        """The name of the job in OpenLineage: the command and the absolute path or address of its target."""
        place = self.target if "://" in self.target else os.path.abspath(self.target)  # noqa: PTH100 - keeps links
        return f"postback-etl.{self.command}.{place}"


def make_event(job: Job, run_id: str, state: str, outcome: dict[str, Any], problem: str | None) -> Any:
    """Returns an event of the official client.

    Args:
        job: The command and its target.
        run_id: A UUID.
        state: START, COMPLETE, FAIL or ABORT.
        outcome: The summary of a run or the report of a load, or the part of it that is known.
        problem: The error message of a failed run.
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
        inputs=[
            _input(described)
            for described in outcome.get("inputs", [])
            if described.get("action") != "skip" and described["path"] != "-"
        ],
        outputs=[_output(job.target, table.name, outcome) for table in TABLES],
    )


def _parent() -> dict[str, Any]:
    """Returns the facet of the scheduler's run, from `OPENLINEAGE_PARENT_ID=NAMESPACE/JOB/RUN`; empty without it."""
    from openlineage.client.facet_v2 import parent_run

    namespace, _, rest = os.environ.get("OPENLINEAGE_PARENT_ID", "").partition("/")
    job, _, run = rest.rpartition("/")
    if not (namespace and job and run):
        return {}
    return {"parent": parent_run.ParentRunFacet(run=parent_run.Run(run), job=parent_run.Job(namespace, job))}


def _input(described: dict[str, Any]) -> Any:
    """Returns the dataset of an input, with its bytes and records."""
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import input_statistics_input_dataset as statistics

    counted = statistics.InputStatisticsInputDatasetFacet(described.get("records"), described["bytes"], 1)
    return InputDataset(*dataset_name(described["path"]), {"inputStatistics": counted})


def _output(target: str, name: str, outcome: dict[str, Any]) -> Any:
    """Returns the dataset of a table, with its columns and, if the outcome has a count for it, the number of rows."""
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics
    from openlineage.client.facet_v2 import schema_dataset

    columns = next(table.columns for table in TABLES if table.name == name)
    fields = [
        schema_dataset.SchemaDatasetFacetFields(column.name, column.type_name, column.meaning) for column in columns
    ]
    found = outcome.get(name)
    rows = found["total"] if isinstance(found, dict) else found
    counted: Any = {} if rows is None else {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rows)}
    facets: Any = {"schema": schema_dataset.SchemaDatasetFacet(fields)}
    return OutputDataset(*dataset_name(f"{target.rstrip('/')}/{name}"), counted, facets=facets)


def dataset_name(address: str) -> tuple[str, str]:
    """Returns the namespace and name of a file, folder or object, by OpenLineage's naming rules.

    Examples:
        >>> dataset_name("s3://bucket/warehouse/conversions")
        ('s3://bucket', 'warehouse/conversions')
        >>> dataset_name("/srv/logs/access.log")
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
        return f"{scheme}://{bucket}", path  # the rule for S3 and GCS
    return named.get_namespace(), named.get_name()
