"""`backfill`: many days, each a load of its own, so that what is done stays done and a bad day stops no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from etl.errors import EtlError, InterruptedRunError, UsageError


class DayReport(NamedTuple):
    """What became of a day; `error` is null unless it failed, `records` and `rejections` count what was new."""

    day: date
    records: int
    rejections: int
    seconds: float
    error: str | None


class StoppedError(InterruptedRunError):
    """Asked to stop within a day; those before it stay."""

    def __init__(self, day: date, done: int, days: int) -> None:
        EtlError.__init__(
            self,
            f"Interrupted on {day}: {done} of {days} days {'is' if done == 1 else 'are'} done.",
            "Run the same command again: it goes on with what is left.",
        )


def backfill(
    template: str, days: list[date], zone: ZoneInfo, load: Callable[[str], dict[str, Any]]
) -> Iterator[DayReport]:
    """Loads day after day, the failed ones too late to stop the others.

    Args:
        template: Names the inputs of a day, with a field such as `{date:%Y-%m-%d}`.
        days: The days.
        zone: Whose midnights the days begin at, for fields that say an instant or an offset.
        load: Loads what an argument names; gives the report of `load.load`.

    Yields:
        Each day when it is done.

    Raises:
        UsageError: The template has no such field.
        StoppedError: Asked to stop; what was done stays.
    """
    done = 0
    for day in days:
        argument = fill_template(template, day, zone)
        began = time.monotonic()
        try:
            report = load(argument)
        except (InterruptedRunError, KeyboardInterrupt) as error:  # polars raises the latter, whatever the handler
            raise StoppedError(day, done, len(days)) from error
        except EtlError as error:
            yield DayReport(day, 0, 0, time.monotonic() - began, error.problem)
        else:
            done += 1
            yield DayReport(day, report["records"], report["rejections"], time.monotonic() - began, None)


def days_between(first: date, end: date) -> list[date]:
    """The days from the first on, without the end.

    Examples:
        >>> [str(day) for day in days_between(date(2024, 2, 28), date(2024, 3, 1))]
        ['2024-02-28', '2024-02-29']
    """
    return [first + timedelta(days=number) for number in range((end - first).days)]


def fill_template(template: str, day: date, zone: ZoneInfo) -> str:
    """What a template names on a day.

    Raises:
        UsageError: It has no field for the date, or others.

    Examples:
        >>> fill_template("logs/{date:%Y/%m-%d}/*.gz", date(2024, 5, 1), ZoneInfo("Europe/Berlin"))
        'logs/2024/05-01/*.gz'
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    try:
        argument = template.format(date=midnight)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{template!r} has a field that is not the date.", "Write the date as {date:%Y-%m-%d}."
        ) from error
    if argument == template:
        raise UsageError(f"{template!r} has no date in it.", "Write it as logs/{date:%Y-%m-%d}/*.gz.")
    return argument
