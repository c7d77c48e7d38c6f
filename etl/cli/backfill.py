"""`backfill`: loads many days into a warehouse, each day separately."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl.cli import messages, options, terminal
from etl.cli.load import Into

if TYPE_CHECKING:
    from etl.warehouse.backfill import DayReport


@options.with_options(*options.RUN)
def backfill(
    template: Annotated[
        str, typer.Argument(metavar="TEMPLATE", help="The inputs of a day, such as 'logs/{date:%Y-%m-%d}/*.gz'.")
    ],
    into: Into,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day, such as 2024-05-01.")],
    end: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="The day after the last; today if not given.")
    ] = None,
    day_zone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="Zone whose days these are.")] = "UTC",
    reload: Annotated[bool, typer.Option("--reload", help="Read known inputs again, by the present rules.")] = False,
    *,
    typed: options.Typed,
    max_rejected: options.MaxRejected = None,
    max_unread: options.MaxUnread = "0",
    metrics: options.Metrics = None,
    openlineage: options.OpenLineage = None,
    events: options.Events = options.EventsMode.TEXT,
    debug: options.Debug = False,
) -> None:
    """Load each day separately; a failed day is reported and does not stop later days.

    The exit code is 1 if a day failed.
    """
    from zoneinfo import ZoneInfo

    from etl.cli.run_context import Telling, watched
    from etl.errors import EtlError
    from etl.telemetry.attempts import sum_reports
    from etl.warehouse.backfill import backfill as backfilled
    from etl.warehouse.backfill import days_between, fill_template
    from etl.warehouse.load import load

    with watched("backfill", into, Telling(not messages.MODE.is_json, metrics, openlineage)) as watch:
        zone = _zone(day_zone)
        began = options.read_day("--from", first)
        days = days_between(began, options.read_day("--to", end) if end else datetime.now(zone).date())
        fill_template(template, began, ZoneInfo("UTC"))
        limit = options.read_limit(max_rejected)
        options.read_limit(max_unread, "--max-unread")
        typed.request([], Path())
        reports, failed = [], []
        messages.warn_if_slow()

        def load_day(argument: str) -> dict[str, Any]:
            request = typed.request([argument], Path())
            with _signals_restored(), watch.at_work() as progress:
                watch.outcome = report = load(request, into, is_reload=reload, progress=progress)
            watch.outcome = None  # the report of all days is not complete yet
            reports.append(report)
            return report

        for day in backfilled(template, days, zone, load_day):
            terminal.write_line(_line(day))
            messages.say("day", **{**day._asdict(), "seconds": round(day.seconds, 3)})
            if day.error:
                failed.append(f"{day.day}")
        watch.outcome = sum_reports(reports) | {"days": len(days), "days_failed": len(failed)}
        messages.say("done", **{**watch.outcome, "inputs": len(watch.outcome["inputs"])})
        if failed:
            problem = f"{len(failed)} of {len(days)} days failed: {', '.join(failed)}."
            raise EtlError(problem, "Run the same command again.")
        total = watch.outcome
        if limit and total["rejections"] > limit(total["records"] - total["skipped"]):
            options.refuse_rejected(
                total["rejections"], max_rejected, "The warehouse holds the loaded rows nevertheless."
            )
        options.refuse_unread(total["inputs"], max_unread or "0", "The warehouse holds the loaded rows nevertheless.")


@contextmanager
def _signals_restored() -> Iterator[None]:
    """Restores the signal handlers, because a load ignores signals once it publishes."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _line(day: DayReport) -> str:
    if day.error:
        return f"{day.day}  failed after {day.seconds:.1f} s: {day.error}"
    return f"{day.day}  {day.records:,} records, {day.rejections:,} rejections, {day.seconds:.1f} s"


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    from etl.errors import UsageError

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"--timezone {name!r} is not a time zone.", "Give an IANA name: Europe/Berlin.") from error
