"""`backfill`: loads many days into a warehouse, each day separately."""

from __future__ import annotations

import enum
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from etl.cli import engines, limits, messages, options, terminal
from etl.cli.expectation import Expect, Expectation, ExpectFail
from etl.cli.load import LOADED, Into
from etl.errors import plural

if TYPE_CHECKING:
    from etl.warehouse.backfill import DayReport


_ONE_DAY: Final = timedelta(days=1)


class MissingMode(enum.StrEnum):
    """What a day without any input is."""

    OK = "ok"
    FAIL = "fail"


@options.with_options(*options.RUN)
def backfill(
    template: Annotated[
        str, typer.Argument(metavar="TEMPLATE", help="The inputs of a day, such as 'logs/{date:%Y-%m-%d}/*.gz'.")
    ],
    into: Into,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day, such as 2024-05-01.")],
    last: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="The last day; yesterday if not given.")
    ] = None,
    missing: Annotated[
        MissingMode, typer.Option(help="What a day without any input is: a failed day, or a day without postbacks.")
    ] = MissingMode.FAIL,
    day_zone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="Zone whose days these are.")] = "UTC",
    reload: Annotated[bool, typer.Option("--reload", help="Read known inputs again, by the present rules.")] = False,
    *,
    typed: options.Typed,
    max_rejected: limits.MaxRejected = None,
    max_unread: limits.MaxUnread = "0",
    expect: Expect = None,
    expect_fail: ExpectFail = False,
    engine: engines.Engine = engines.EngineName.LOCAL,
    spark_master: engines.SparkMaster = None,
    spark_remote: engines.SparkRemote = None,
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
    from etl.errors import EtlError, UsageError
    from etl.telemetry.attempts import sum_reports
    from etl.warehouse.backfill import backfill as backfilled
    from etl.warehouse.backfill import days_between, fill_template
    from etl.warehouse.load import load

    with (
        watched("backfill", into, Telling(not messages.MODE.is_json, metrics, openlineage)) as watch,
        engines.working_on(engine, spark_master, spark_remote) as on_engine,
    ):
        zone = _zone(day_zone)
        began = options.read_day("--from", first)
        days = days_between(began, options.read_day("--to", last) if last else datetime.now(zone).date() - _ONE_DAY)
        if last and not days:
            raise UsageError(f"--to {last} is before --from {first}.", "Name a later day; --to is the last day.")
        fill_template(template, began, ZoneInfo("UTC"))
        allowed = limits.Limits.of(max_rejected, max_unread)
        expectation = Expectation.of(expect, is_required=expect_fail)
        typed.request([], Path())
        reports, failed, too_little = [], [], []
        messages.warn_if_slow()

        def load_day(argument: str) -> dict[str, Any]:
            request = on_engine(typed.request([argument], Path()))
            with _signals_restored(), watch.at_work() as progress:
                watch.outcome = report = load(request, into, is_reload=reload, progress=progress)
            watch.outcome = None  # the report of all days is not complete yet
            too_little.append(expectation.check(into, report))
            reports.append(report)
            return report

        for day in backfilled(template, days, zone, load_day):
            is_failed = bool(day.error) and not (day.is_missing and missing is MissingMode.OK)
            terminal.write_line(_line(day, is_failed=is_failed))
            messages.say("day", **{**day._asdict(), "seconds": round(day.seconds, 3)})
            if is_failed:
                failed.append(day)
        watch.outcome = sum_reports(reports) | {"days": len(days), "days_failed": len(failed)}
        messages.say("done", **{**watch.outcome, "inputs": len(watch.outcome["inputs"])})
        if failed:
            names = ", ".join(f"{day.day}" for day in failed)
            raise EtlError(f"{len(failed)} of {plural(len(days), 'day')} failed: {names}.", _way_out(failed))
        total = watch.outcome
        allowed.enforce(total["rejections"], total["records"] - total["skipped"], total["inputs"], LOADED)
        if any(too_little):
            raise typer.Exit(3)


@contextmanager
def _signals_restored() -> Iterator[None]:
    """Restores the signal handlers, because a load ignores signals once it publishes."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _way_out(failed: list[DayReport]) -> str:
    """Says what cures failed days: those without an input do not come by themselves."""
    if all(day.is_missing for day in failed):
        return "Give these days their inputs, or say --missing ok."
    return "Loaded days are not read again: see what each day says, and run the same command again."


def _line(day: DayReport, *, is_failed: bool) -> str:
    if is_failed:
        return f"{day.day}  failed after {day.seconds:.1f} s: {day.error}"
    if day.is_missing:
        return f"{day.day}  no input"
    known = f", {plural(day.known, 'known input')}" if day.known else ""
    if known and not day.records:
        return f"{day.day}  loaded before{known}"
    return (
        f"{day.day}  {plural(day.records, 'record')}, {plural(day.rejections, 'rejection')}{known}, {day.seconds:.1f} s"
    )


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    from etl.sources.settings import check_zone

    check_zone("--timezone", name)
    return ZoneInfo(name)
