"""Reads timestamps that are not in seconds but plainly mean an instant (rules 6.2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from etl.rules.page import WHITE_SPACE
from etl.rules.value_parsing import EPOCH, FIRST_SECOND, LAST_SECOND

#: Units of timestamps of digits: parts of a second, and the issue.
UNITS: Final = (
    (1_000, "timestamp_milliseconds"),
    (1_000_000, "timestamp_microseconds"),
    (1_000_000_000, "timestamp_nanoseconds"),
)
_LONGEST: Final = 20

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY: Final = "(?:mon|tue|wed|thu|fri|sat|sun)"
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_CLOCK: Final = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
_SECOND: Final = r"(?P<second>[0-9]{2})"
_FRACTION: Final = r"(?:\.(?P<fraction>[0-9]+))?"
#: An offset, also one whose `+` became a blank.
_OFFSET: Final = "(?P<sign>[+ -])(?P<zone_hour>[0-9]{2})(?::?(?P<zone_minute>[0-9]{2}))?"
_ZONE: Final = f"(?: ?(?:Z|{_OFFSET}))?"

_EXTENDED: Final = re.compile(
    rf"(?P<year>[0-9]{{4}})-(?P<month>[0-9]{{2}})-(?P<day>[0-9]{{2}})(?:[T ]{_CLOCK}(?::{_SECOND}{_FRACTION})?{_ZONE})?"
)
_BASIC: Final = re.compile(
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    rf"(?:[T ](?P<hour>[0-9]{{2}})(?P<minute>[0-9]{{2}})(?:{_SECOND}{_FRACTION})?{_ZONE})?"
)
_JAVASCRIPT: Final = re.compile(
    rf"{_WEEKDAY} {_MONTH} (?P<day>[0-9]{{2}}) (?P<year>[0-9]{{4}})"
    rf"(?: {_CLOCK}:{_SECOND}(?: GMT{_OFFSET}(?: \([^()]*\))?)?)?",
    re.IGNORECASE,
)
ZONES: Final = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_RFC_2822: Final = re.compile(
    rf"(?:{_WEEKDAY}, ?)?(?P<day>[0-9]{{1,2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_CLOCK}(?::{_SECOND})?"
    rf" (?:(?P<name>GMT|UTC|UT|Z|{'|'.join(ZONES)})|{_OFFSET})(?: \([^()]*\))?",
    re.IGNORECASE,
)
_NOTATIONS: Final = (
    (_EXTENDED, "timestamp_iso8601"),
    (_BASIC, "timestamp_iso8601"),
    (_JAVASCRIPT, "timestamp_text"),
    (_RFC_2822, "timestamp_text"),
)


def repair_timestamp(text: str) -> tuple[str, datetime | None]:
    """Returns the issue code of a timestamp that is not in seconds, and the instant it means, if that is clear.

    Source: rules 6.2.

    Examples:
        >>> repair_timestamp("2024-05-01")
        ('timestamp_iso8601', datetime.datetime(2024, 5, 1, 0, 0, tzinfo=datetime.timezone.utc))
        >>> repair_timestamp("1714564800000")[0], repair_timestamp("yesterday")
        ('timestamp_milliseconds', ('invalid_timestamp', None))
    """
    text = text.strip(WHITE_SPACE)
    for read in (_read_digits, _read_date):
        if found := read(text):
            return found
    return "invalid_timestamp", None


def _read_digits(text: str) -> tuple[str, datetime] | None:
    """Reads whole milliseconds, microseconds or nanoseconds since 1970."""
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdecimal() and 0 < len(digits) <= _LONGEST):
        return None
    for parts, issue in UNITS:
        if FIRST_SECOND * parts <= int(digits) <= LAST_SECOND * parts:
            return issue, EPOCH + timedelta(microseconds=int(digits) * 1_000_000 // parts)
    return None


def _read_date(text: str) -> tuple[str, datetime] | None:
    """Reads a date with or without a time, between the years 2000 and 2100."""
    for pattern, issue in _NOTATIONS:
        if match := pattern.fullmatch(text):
            instant = _instant(match.groupdict())
            if instant and FIRST_SECOND <= (instant - EPOCH).total_seconds() <= LAST_SECOND:
                return issue, instant
    return None


def _instant(parts: dict[str, str | None]) -> datetime | None:
    """Returns the instant of the parts of a date, in UTC where no zone is among them; None if there is no such date."""
    month = parts["month"] or ""
    number = int(month) if month.isdecimal() else _MONTHS.index(month.lower()) + 1
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    micros = int((parts.get("fraction") or "")[:6].ljust(6, "0"))
    minutes = int(parts.get("zone_minute") or 0)
    offset = timedelta(
        hours=int(parts.get("zone_hour") or ZONES.get((parts.get("name") or "").lower(), 0)), minutes=minutes
    )
    try:
        zone = timezone(-offset if parts.get("sign") == "-" else offset)
        local = datetime(
            int(parts["year"] or 0), number, int(parts["day"] or 0), hour, minute, second, micros, tzinfo=zone
        )
    except ValueError:
        return None
    return local.astimezone(UTC) if minutes < 60 else None
