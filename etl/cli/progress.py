"""Reports the progress of a run on standard error: a bar on a terminal, plain lines elsewhere, or events."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from etl.cli import messages
from etl.errors import plural
from etl.runner.disk_space import DiskNeed
from etl.runner.stage_inputs import SILENT, Progress

#: After which the progress is first reported, and then again and again. A shorter run reports none.
_FIRST_SECONDS: Final = 0.9
_SECONDS: Final = 5.0

#: Less than that needs no word on disk, and is read in a moment: there, the progress is first reported later.
_MUCH_BYTES: Final = 10_000_000


@contextmanager
def report_progress(*, is_quiet: bool) -> Iterator[Progress]:
    """Yields the progress of a run: events if messages are JSON, warnings alone if quiet, else a bar or plain lines."""
    if messages.MODE.is_json or not is_quiet:
        messages.warn_if_slow()
        messages.say_origins()
    if messages.MODE.is_json:
        with _events(is_quiet=is_quiet) as progress:
            yield progress
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


def say_needs(needs: list[DiskNeed]) -> None:
    """Says what disk the work needs; to people only where that is much."""
    for need in needs:
        lines = [f"needs {need}"] if need.needed >= _MUCH_BYTES else []
        messages.say("disk", *lines, disk=str(need.disk), needed_bytes=need.needed, free_bytes=need.free)


@contextmanager
def _events(*, is_quiet: bool) -> Iterator[Progress]:
    """Reports progress as events; if quiet, only surveyed inputs and warnings are reported, not phases."""

    def survey(described: dict[str, Any]) -> None:
        messages.say("surveyed", **described)

    if is_quiet:
        yield SILENT._replace(warn=messages.warn, survey=survey)
        return
    counter = _Counter()

    def begin(phase: str, total: int) -> None:
        counter.begin(phase, total)
        messages.say("phase", phase=phase, total_bytes=total)

    def report() -> None:
        done: dict[str, Any] = {"bytes": counter.size, "total_bytes": counter.total, "records": counter.records}
        messages.say("progress", phase=counter.phase, **done)

    with _again_and_again(counter, report):
        yield Progress(begin, counter.advance, messages.warn, survey, say_needs)


@contextmanager
def _again_and_again(counter: _Counter, report: Callable[[], None]) -> Iterator[None]:
    """Reports from a thread while the context lasts, so that a long phase without news still shows life."""
    ended = threading.Event()

    def repeat() -> None:
        if not ended.wait(_FIRST_SECONDS) and counter.total >= _MUCH_BYTES:
            report()
        while not ended.wait(_SECONDS):
            report()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_FIRST_SECONDS)  # a reader of standard error that is stuck does not keep the work from ending


@contextmanager
def _bar() -> Iterator[Progress]:
    """Reports progress as a bar on the terminal."""
    from rich.progress import BarColumn, ProgressColumn
    from rich.progress import Progress as Bars

    from etl.cli.terminal import console, shown

    counter = _Counter()

    class DoneAndLeft(ProgressColumn):
        """What is done and left, in words."""

        def render(self, task: Any) -> Any:  # noqa: ARG002 - the counter knows it all
            return shown(counter.line())

    with Bars(BarColumn(bar_width=16), DoneAndLeft(), console=console(is_error=True), transient=True) as bars:

        def begin(phase: str, total: int) -> None:
            counter.begin(phase, total)
            for task in bars.task_ids:
                bars.remove_task(task)
            bars.add_task(phase, total=total or None)

        def advance(size: int, records: int) -> None:
            counter.advance(size, records)
            bars.update(bars.task_ids[-1], advance=size)

        yield Progress(
            begin, advance, messages.warn, need=say_needs
        )  # rich shows above the bar what goes to standard error


@contextmanager
def _lines() -> Iterator[Progress]:
    """Reports progress as plain lines."""
    counter = _Counter()
    with _again_and_again(counter, lambda: messages.say("progress", counter.line())):
        yield Progress(counter.begin, counter.advance, messages.warn, need=say_needs)


class _Counter:
    """Counts the bytes and records that are done in the current phase."""

    def __init__(self) -> None:
        self.begin("starting", 0)

    def begin(self, phase: str, total: int) -> None:
        self.phase, self.total, self.size, self.records, self.began = phase, total, 0, 0, time.monotonic()

    def advance(self, size: int, records: int) -> None:
        self.size += size
        self.records += records

    def line(self) -> str:
        """Says what is done and left: `reading: 12.3 of 331 MB, 40 s left`.

        Examples:
            >>> counter = _Counter()
            >>> counter.begin("reading", 331_000_000)
            >>> counter.line()
            'reading: 0.0 of 331 MB'
        """
        if not self.total:
            return self.phase
        whole = self.total / 10**6
        line = f"{self.phase}: {self.size / 10**6:,.1f} of {whole:,.{0 if whole >= 100 else 1}f} MB"
        if self.size:
            line += f", {_duration((time.monotonic() - self.began) * (self.total - self.size) / self.size)} left"
        return line + (f", {plural(self.records, 'record')}" if self.records else "")


def _duration(seconds: float) -> str:
    """Formats a duration in the unit that a person would take.

    Examples:
        >>> _duration(40), _duration(150), _duration(7500)
        ('40 s', '3 min', '2 h 5 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
