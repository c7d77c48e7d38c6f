"""A command at work, and who is told of it: standard error while it works, metrics and lineage when it ends."""

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
from etl.engines.local_pool import dedicate
from etl.errors import EtlError, InterruptedRunError, masked
from etl.runner.stage_inputs import Progress
from etl.runner.tasks import peak_memory_bytes
from etl.telemetry.attempts import Attempt
from etl.telemetry.lineage import Job, Sender, Trace, opened
from etl.telemetry.metrics import check_metrics, write_metrics


class Telling(NamedTuple):
    """Who is told, by the options of a command."""

    is_quiet: bool
    metrics: Path | None
    lineage: str | None
    is_rehearsal: bool = False


@dataclass
class Watch:
    """A command at work.

    Attributes:
        command: Its name.
        target: The folder or warehouse that it writes, as it was said.
        telling: Who is told.
        sender: Where lineage goes.
        outcome: The summary or report, as soon as something is published.
    """

    command: str
    target: str
    telling: Telling
    sender: Sender
    outcome: dict[str, Any] | None = None

    @contextmanager
    def at_work(self) -> Iterator[Progress]:
        """One run of the job, told as it goes; whoever works sets the outcome.

        Raises:
            InterruptedRunError: Asked to stop before it had published.
        """
        self.outcome = None
        dedicate()
        trace = Trace(Job(self.command, self.target), self.sender)
        trace.start()
        try:
            with report_progress(is_quiet=self.telling.is_quiet) as progress:

                def survey(described: dict[str, Any]) -> None:
                    trace.inputs.append(described)
                    progress.survey(described)

                yield ignore_signals_once_publishing(progress)._replace(survey=survey)
        except KeyboardInterrupt as error:  # polars raises it whatever the handler, if it is at work then
            interrupted = InterruptedRunError()
            trace.fail(interrupted)
            raise interrupted from error
        except BaseException as error:
            trace.fail(error)
            raise
        trace.complete(self.outcome)


@contextmanager
def watched(command: str, target: str | Path, telling: Telling) -> Iterator[Watch]:
    """A command, from its options to its end; metrics are written however it ends.

    Raises:
        UsageError: Metrics cannot be written where they are to be.
    """
    place = masked(str(target))  # which it may hold until somebody looks at it
    if telling.is_rehearsal:
        yield Watch(command, place, telling, Sender(None, messages.warn))
        return
    if telling.metrics is not None:
        check_metrics(telling.metrics)
    watch = Watch(command, place, telling, opened(telling.lineage, messages.warn))
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
    memory = (watch.outcome or {}).get("peak_memory_bytes") or peak_memory_bytes()
    attempt = Attempt(watch.command, watch.target, time.time(), seconds, memory, code, watch.outcome)
    try:
        write_metrics(attempt, path)
    except OSError as error:
        messages.warn(f"--metrics {str(path)!r} cannot be written: {error.strerror}.")
