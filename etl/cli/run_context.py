"""Runs a long command: reports progress on standard error, and writes metrics and lineage when the command ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import typer

from etl.cli import messages
from etl.cli.progress import ignore_signals_once_publishing, report_progress
from etl.engines.local_pool import tune_memory
from etl.errors import EtlError, InterruptedRunError, masked
from etl.runner.stage_inputs import Progress
from etl.runner.tasks import peak_memory_bytes
from etl.telemetry.attempts import Attempt
from etl.telemetry.lineage import Job, Sender, Trace, open_sender
from etl.telemetry.metrics import check_metrics, write_metrics


class Telling(NamedTuple):
    """Where a command reports to, from its options.

    Attributes:
        is_quiet: No progress on standard error.
        metrics: File of the metrics; None: no metrics.
        lineage: Address or file for OpenLineage events; None: no events.
        is_rehearsal: A dry run: neither metrics nor lineage are written.
    """

    is_quiet: bool
    metrics: Path | None
    lineage: str | None
    is_rehearsal: bool = False


@dataclass
class Watch:
    """A command that is running.

    Attributes:
        command: Name of the command.
        target: The folder or warehouse that it writes, as given, without credentials.
        telling: Where the command reports to.
        sender: Sends the lineage events.
        outcome: The summary or report; None until something is published.
    """

    command: str
    target: str
    telling: Telling
    sender: Sender
    outcome: dict[str, Any] | None = None

    @contextmanager
    def at_work(self) -> Iterator[Progress]:
        """Reports progress and lineage of one run; the caller sets `outcome` before the context ends.

        Raises:
            InterruptedRunError: The run was interrupted before it published.
        """
        self.outcome = None
        tune_memory()
        trace = Trace(Job(self.command, self.target), self.sender)
        trace.start()
        try:
            with report_progress(is_quiet=self.telling.is_quiet) as progress:

                def survey(described: dict[str, Any]) -> None:
                    trace.inputs.append(described)
                    progress.survey(described)

                yield ignore_signals_once_publishing(progress)._replace(survey=survey)
        except KeyboardInterrupt as error:  # polars raises it in spite of the handler
            interrupted = InterruptedRunError()
            trace.fail(interrupted)
            raise interrupted from error
        except BaseException as error:
            trace.fail(error)
            raise
        trace.complete(self.outcome)


@contextmanager
def watched(command: str, target: str | Path, telling: Telling) -> Iterator[Watch]:
    """Surrounds a command; metrics are written even if the command fails.

    Raises:
        UsageError: The file of metrics cannot be written.
    """
    place = masked(str(target))
    if telling.is_rehearsal:
        yield Watch(command, place, telling, Sender(None, messages.warn))
        return
    if telling.metrics is not None:
        check_metrics(telling.metrics)
    watch = Watch(command, place, telling, open_sender(telling.lineage, messages.warn))
    began, code = time.monotonic(), 1
    try:
        yield watch
        code = 0
    except (EtlError, typer.Exit) as error:
        code = error.exit_code
        raise
    finally:
        watch.sender.close()
        if telling.metrics is not None:
            _write_metrics(watch, telling.metrics, time.monotonic() - began, code)


def _write_metrics(watch: Watch, path: Path, seconds: float, code: int) -> None:
    """Writes the metrics of a command that ended; a failure to write is a warning."""
    memory = (watch.outcome or {}).get("peak_memory_bytes") or peak_memory_bytes()
    attempt = Attempt(watch.command, watch.target, time.time(), seconds, memory, code, watch.outcome)
    try:
        write_metrics(attempt, path)
    except OSError as error:
        messages.warn(f"--metrics {str(path)!r} cannot be written: {error.strerror}.")
