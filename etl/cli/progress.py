"""Reports the progress of a run on standard error: a bar on a terminal, plain lines elsewhere, or events."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from etl.cli import messages
from etl.runner.stage_inputs import SILENT, Progress

_SECONDS_BETWEEN_LINES: Final = 5.0


@contextmanager
def report_progress(*, is_quiet: bool) -> Iterator[Progress]:
    """Yields the progress of a run: events if messages are JSON, warnings alone if quiet, else a bar or plain lines."""
    if messages.MODE.is_json or not is_quiet:
        messages.warn_if_slow()
    if messages.MODE.is_json:
        yield _events(is_quiet=is_quiet)
    elif is_quiet:
        yield SILENT._replace(warn=messages.warn)
    else:
        with _bar() if sys.stderr.isatty() else _lines() as progress:
            yield progress


def ignore_signals_once_publishing(progress: Progress) -> Progress:
    """Makes a run ignore signals once it publishes: after that, "nothing was published" would be false."""

    def begin(phase: str, total: int) -> None:
        if phase == "publishing":
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        progress.begin(phase, total)

    return progress._replace(begin=begin)


def unshown() -> Progress:
    """Returns the progress of a command that shows warnings alone, which ignores signals once it publishes."""
    return ignore_signals_once_publishing(SILENT._replace(warn=messages.warn))


def _events(*, is_quiet: bool) -> Progress:
    """Reports progress as events; if quiet, only surveyed inputs and warnings are reported, not phases."""

    def survey(described: dict[str, Any]) -> None:
        messages.say("surveyed", **described)

    if is_quiet:
        return SILENT._replace(warn=messages.warn, survey=survey)
    counter = _Counter()

    def begin(phase: str, total: int) -> None:
        counter.begin(phase, total)
        messages.say("phase", phase=phase, total_bytes=total)

    def report() -> None:
        done: dict[str, Any] = {"bytes": counter.size, "total_bytes": counter.total, "records": counter.records}
        messages.say("progress", phase=counter.phase, **done)

    return Progress(begin, _every_few_seconds(counter, report), messages.warn, survey)


def _every_few_seconds(counter: _Counter, report: Callable[[], None]) -> Callable[[int, int], None]:
    """Makes a function that advances a counter, and reports at most once in `_SECONDS_BETWEEN_LINES`."""
    last = time.monotonic()

    def advance(size: int, records: int) -> None:
        nonlocal last
        counter.advance(size, records)
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            report()

    return advance


@contextmanager
def _bar() -> Iterator[Progress]:
    """Reports progress as a bar on the terminal."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from etl.cli.terminal import console

    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=16),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console(is_error=True), transient=True) as bars:
        counter = _Counter()

        def begin(phase: str, total: int) -> None:
            counter.begin(phase, total)
            for task in bars.task_ids:
                bars.remove_task(task)
            bars.add_task(phase, total=total or None, speed="")

        def advance(size: int, records: int) -> None:
            counter.advance(size, records)
            bars.update(bars.task_ids[-1], advance=size, speed=counter.speed())

        yield Progress(begin, advance, messages.warn)  # rich shows above the bar what goes to standard error


@contextmanager
def _lines() -> Iterator[Progress]:
    """Reports progress as plain lines."""
    counter = _Counter()
    advance = _every_few_seconds(counter, lambda: messages.say("progress", counter.line()))
    yield Progress(counter.begin, advance, messages.warn)


class _Counter:
    """Counts the bytes and records that are done in the current phase."""

    def __init__(self) -> None:
        self.begin("starting", 0)

    def begin(self, phase: str, total: int) -> None:
        self.phase, self.total, self.size, self.records, self.began = phase, total, 0, 0, time.monotonic()

    def advance(self, size: int, records: int) -> None:
        self.size += size
        self.records += records

    def speed(self) -> str:
        seconds = max(time.monotonic() - self.began, 1e-3)
        return f"{self.records / seconds:,.0f} rec/s"

    def line(self) -> str:
        seconds = time.monotonic() - self.began
        left = seconds * (self.total - self.size) / self.size if self.size else 0
        return (
            f"{self.phase}: {self.size / 2**20:,.0f} of {self.total / 2**20:,.0f} MiB, "
            f"{self.records:,} records, {self.speed()}, {left:,.0f} s left"
        )
