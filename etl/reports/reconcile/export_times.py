"""Reads the times of an export, which may stand in a column of dates, a column of clock times and a column of zones."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from etl.columnar.factorize import map_distinct
from etl.rules.timestamp_repair import ZONES
from etl.schema import INSTANT
from etl.sources.readers.timestamps import read_any, time_reader

#: A time of day in a column of its own.
_CLOCK: Final = re.compile(r"\s*[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?:\s*[AaPp]\.?[Mm]\.?)?\s*")

#: A date in numbers, in an order that the text does not tell, and a time of day behind it.
_NUMERIC: Final = re.compile(
    r"\s*(?P<first>[0-9]{1,2})(?P<mark>[/.-])(?P<second>[0-9]{1,2})(?P=mark)(?P<year>[0-9]{4})"
    r"(?:,?\s+(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<seconds>[0-9]{2}))?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?)?"
    r"\s*"
)
_OFFSET: Final = re.compile(r"(?:GMT|UTC)?(?P<sign>[+-])(?P<hours>[0-9]{1,2}):?(?P<minutes>[0-9]{2})?", re.IGNORECASE)

#: Stands between a time and its zone; no text of a time contains it.
_MARK: Final = "\0"


class Times(NamedTuple):
    """The times of an export: the instants, and the order in which its dates in numbers were read, if it has any."""

    at: pl.Series
    order: str | None


def is_clock(column: pl.Series) -> bool:
    """Returns whether a column holds times of day and nothing else."""
    texts = column.drop_nulls() if column.dtype == pl.String else pl.Series([])
    return bool(len(texts)) and all(_CLOCK.fullmatch(text) for text in texts.unique())


def read_times(
    days: pl.Series, clocks: pl.Series | None, zones: pl.Series | None, zone: str, layout: str | None
) -> Times:
    """Parses times as UTC instants.

    Dates such as 01/10/2026 are read with the month first, or the day first, in all rows: in the order that reads more
    of them; of two such orders, in the one whose dates lie closer together.

    Args:
        days: The times or dates: instants, or texts.
        clocks: The times of day of dates, if they have a column of their own.
        zones: The zones of the times, if they have a column of their own: names, abbreviations or offsets.
        zone: IANA name of the zone of times without a zone.
        layout: Format of the times, as for strftime; None: any common format.
    """
    if isinstance(days.dtype, pl.Datetime):
        zoned = days if days.dtype.time_zone else days.dt.replace_time_zone(zone, ambiguous="earliest")
        return Times(zoned.dt.convert_time_zone("UTC").cast(INSTANT), None)
    texts = days if clocks is None else pl.select(pl.concat_str(days, clocks.fill_null(""), separator=" ")).to_series()
    marked = texts if zones is None else pl.select(pl.lit(texts) + _MARK + pl.lit(zones.fill_null(""))).to_series()
    read = time_reader(f"layout {layout}") if layout else read_any

    def instants(*, is_month_first: bool) -> pl.Series:
        def instant(marked_text: str) -> datetime | None:
            text, _, said = marked_text.partition(_MARK)
            place = _zone(said) or ZoneInfo(zone)
            local = None if layout else _read_numeric(text, is_month_first=is_month_first)
            if local is None:
                local = read(text, "UTC")
                if local is None or local == read(text, "Etc/GMT+12"):  # the text says its zone
                    return local
            return local.replace(tzinfo=place).astimezone(UTC)

        return map_distinct(marked, instant, INSTANT)

    month_first = instants(is_month_first=True)
    if layout or not any(map(_NUMERIC.fullmatch, texts.drop_nulls().unique())):
        return Times(month_first, None)
    day_first = instants(is_month_first=False)
    if _rank(day_first) < _rank(month_first):
        return Times(day_first, "day/month/year")
    return Times(month_first, "month/day/year")


def _rank(at: pl.Series) -> tuple[int, float]:
    """Returns how bad a reading is: the number of times that it cannot read, and how long they span in days."""
    first, last = at.min(), at.max()
    span = last - first if isinstance(first, datetime) and isinstance(last, datetime) else timedelta()
    return at.null_count(), span / timedelta(days=1)


def _read_numeric(text: str, *, is_month_first: bool) -> datetime | None:
    """Reads a date in numbers, with the month first or not; with dots, the day is first."""
    match = _NUMERIC.fullmatch(text)
    if not match:
        return None
    first, second = int(match["first"]), int(match["second"])
    month, day = (first, second) if is_month_first and match["mark"] != "." else (second, first)
    hour = int(match["hour"] or 0)
    if match["half"]:
        hour = hour % 12 + (12 if match["half"].lower() == "p" else 0)
    try:
        return datetime(int(match["year"]), month, day, hour, int(match["minute"] or 0), int(match["seconds"] or 0))  # noqa: DTZ001
    except ValueError:
        return None


def _zone(text: str) -> tzinfo | None:
    """Reads a zone: an abbreviation, an offset, or an IANA name; None for any other text.

    Examples:
        >>> [str(_zone(text)) for text in ("PST", "GMT+02:00", "Europe/Berlin", "")]
        ['UTC-08:00', 'UTC+02:00', 'Europe/Berlin', 'None']
    """
    text = text.strip()
    if text.lower() in ZONES:
        return timezone(timedelta(hours=ZONES[text.lower()]))
    offset = _OFFSET.fullmatch(text)
    if offset:
        apart = timedelta(hours=int(offset["hours"]), minutes=int(offset["minutes"] or 0))
        return timezone(-apart if offset["sign"] == "-" else apart)
    try:
        return ZoneInfo(text) if text else None
    except (KeyError, ValueError, OSError):
        return None
