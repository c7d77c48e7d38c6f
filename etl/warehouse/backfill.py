"""`backfill` loads many days, each day as a load of its own. Loaded days stay, and a failed day stops no later day."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from etl.errors import EtlError, InterruptedRunError, MissingInputError, UsageError
from etl.warehouse.load_decisions import SKIP, UNKNOWN_FORMAT


class DayReport(NamedTuple):
    """The result of one day.

    Attributes:
        day: The day.
        records: Records of the inputs that this load read.
        rejections: Rejections among these records.
        known: Inputs that were loaded before, and so were not read.
        seconds: Duration.
        error: Why the day failed; None if it was loaded.
        is_missing: No input of the day exists.
    """

    day: date
    records: int
    rejections: int
    known: int
    seconds: float
    error: str | None = None
    is_missing: bool = False


class StoppedError(InterruptedRunError):
    """The backfill was interrupted within a day; the days before stay loaded."""

    def __init__(self, day: date, done: int, days: int) -> None:
        EtlError.__init__(
            self,
            f"Interrupted on {day}: {done} of {days} days {'is' if done == 1 else 'are'} done.",
            "Run the same command again: it continues with the days that are left.",
        )


def backfill(
    template: str, days: list[date], zone: ZoneInfo, load: Callable[[str], dict[str, Any]]
) -> Iterator[DayReport]:
    """Loads each day separately; a failed day is reported and does not stop later days.

    Args:
        template: Names the inputs of a day, with a field such as `{date:%Y-%m-%d}`.
        days: The days.
        zone: Time zone of the days, for fields that format an instant or an offset.
        load: Loads the inputs that an argument names, and returns the report of `load.load`.

    Yields:
        The report of each day when the day is done.

    Raises:
        UsageError: The template has no date field.
        StoppedError: The backfill was interrupted; the days before stay loaded.
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
            is_missing = isinstance(error, MissingInputError)
            yield DayReport(day, 0, 0, 0, time.monotonic() - began, error.problem, is_missing)
        else:
            done += 1
            known = sum(item["action"] == SKIP and item["why"] != UNKNOWN_FORMAT for item in report["inputs"])
            yield DayReport(day, report["records"], report["rejections"], known, time.monotonic() - began)


def days_between(first: date, last: date) -> list[date]:
    """Returns the days from the first to the last, both included.

    Examples:
        >>> [str(day) for day in days_between(date(2024, 2, 28), date(2024, 3, 1))]
        ['2024-02-28', '2024-02-29', '2024-03-01']
    """
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def fill_template(template: str, day: date, zone: ZoneInfo) -> str:
    """Puts a day into a template.

    Raises:
        UsageError: The template has no date field, or other fields.

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
