"""Parses the notations of times in logs: takes text, returns a UTC instant, or None if the text is not a valid time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from etl.columnar.access_log_parser import MONTHS
from etl.rules.value_parsing import EPOCH, read_instant

_CLOCK: Final = re.compile(
    r"(\d\d)/([A-Z][a-z]{2})/(\d{4})[: ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?: ([+-]\d{4}))?", re.ASCII
)

#: How a dated line begins: brackets and a few words such as `Date:` may stand before the date.
DATED: Final = re.compile(
    rb"(?<![\s\[(=*#-])[\s\[(=*#-]*(?:[A-Za-z]{2,12}:? +)?[\[(]?"
    rb"(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{4}|\d\d?/[A-Z][a-z]{2}/\d{4})[T ,:]+\d\d?:\d\d"
)


def read_clock(text: str, zone: str = "UTC") -> datetime | None:
    """Parses `dd/Mon/yyyy:HH:MM:SS +ZZZZ`; the first colon may be a space, and seconds may have a fraction.

    A time without an offset is a local time in the zone.
    """
    match = _CLOCK.fullmatch(text)
    if not match:
        return None
    day, month, year, hour, minute, second = (match[i] for i in range(1, 7))
    try:
        number = MONTHS.index(month) + 1
        local = datetime(int(year), number, int(day), int(hour), int(minute), int(second))  # noqa: DTZ001
        local += timedelta(microseconds=int((match[7] or "").ljust(6, "0")[:6]))
        if match[8] is None:
            return in_zone(local, zone)
        offset = timedelta(hours=int(match[8][1:3]), minutes=int(match[8][3:5]))
        return local.replace(tzinfo=timezone(-offset if match[8][0] == "-" else offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def in_zone(local: datetime, zone: str) -> datetime:
    """Converts a local time in a zone to UTC. If clocks were set back and the time occurs twice, the first counts."""
    return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


#: A blank between a time and its offset, as Serilog and Ruby write it.
_OFFSET: Final = re.compile(r"(?<=[\d]) (?=[+-]\d\d:?\d\d\Z)")


def _read_iso8601(text: str, zone: str) -> datetime | None:
    """Parses ISO 8601 with any number of fraction digits; a time without an offset is a local time in the zone."""
    try:
        plain = _OFFSET.sub("", text.strip().replace(" UTC", "Z").replace(" GMT", "Z").replace(",", "."))
        instant = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return in_zone(instant, zone) if instant.tzinfo is None else instant.astimezone(UTC)


def _read_epoch(text: str, _zone: str) -> datetime | None:
    """Parses seconds, milliseconds, microseconds or nanoseconds since 1970; the number's size decides the unit."""
    digits, _, fraction = text.strip().partition(".")
    if digits.isascii() and digits.isdigit() and len(digits) == 19:
        return EPOCH + timedelta(microseconds=int(digits[:-3]))
    return read_instant(f"{digits}.{fraction}" if fraction else digits) if digits[:1].isdigit() else None


#: Further notations: PHP's `date`, mail headers, JavaScript's `Date`, Kibana, and portals that write times like Excel.
_WRITTEN: Final = (
    (re.compile(r"\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d(?: (?:UTC|GMT))?"), "%d-%b-%Y %H:%M:%S"),
    (re.compile(r"[A-Z][a-z]{2}, \d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"), "%a, %d %b %Y %H:%M:%S %z"),
    (re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d GMT[+-]\d{4}"), "%a %b %d %Y %H:%M:%S GMT%z"),
    (re.compile(r"[A-Z][a-z]{2} \d\d?, \d{4} @ \d\d:\d\d:\d\d(?:\.\d+)?"), "%b %d, %Y @ %H:%M:%S"),
    (re.compile(r"\d\d?/\d\d?/\d{4},? \d\d?:\d\d:\d\d(?:\.\d+)? [AP]M"), "%m/%d/%Y %I:%M:%S %p"),
    (re.compile(r"\d\d?/\d\d?/\d\d,? \d\d?:\d\d:\d\d(?:\.\d+)? [AP]M"), "%m/%d/%y %I:%M:%S %p"),
    (re.compile(r"\d\d?/\d\d?/\d{4}, \d\d?:\d\d:\d\d"), "%m/%d/%Y %H:%M:%S"),
    (re.compile(r"\d\d?/\d\d?/\d\d, \d\d?:\d\d:\d\d"), "%m/%d/%y %H:%M:%S"),
    (re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?"), "%Y/%m/%d %H:%M:%S"),
    (re.compile(r"\d\d?\.\d\d?\.\d{4},? \d\d:\d\d:\d\d"), "%d.%m.%Y %H:%M:%S"),
)
#: The fraction of a second.
_FRACTION: Final = re.compile(r"(?<=:\d\d)\.(\d+)")
#: A comma between the day and the time.
_COMMA: Final = re.compile(r"(?<=[/.]\d\d\d\d),|(?<=/\d\d),")
_SOUGHT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|GMT)| ?[+-]\d\d:?\d\d(?![\d.:-]))?"
    r"|\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}" + "".join(f"|{pattern.pattern}" for pattern, _ in _WRITTEN)
)


def read_any(text: str, zone: str) -> datetime | None:
    """Parses a time in any known notation, for keys and columns whose notation is unknown."""
    readers = (read_clock, _read_iso8601, _read_epoch, _read_written)
    return next((found for read in readers if (found := read(text, zone))), None)


def _read_written(text: str, zone: str) -> datetime | None:
    """Parses the notations in `_WRITTEN`."""
    for pattern, layout in _WRITTEN:
        match = pattern.fullmatch(text.strip())
        if match:
            fraction = _FRACTION.search(match[0])
            plain = _COMMA.sub("", _FRACTION.sub("", match[0]).removesuffix(" UTC").removesuffix(" GMT"))
            try:
                instant = datetime.strptime(plain, layout)  # noqa: DTZ007
            except ValueError:
                return None
            instant += timedelta(microseconds=int(fraction[1].ljust(6, "0")[:6]) if fraction else 0)
            is_utc = text.rstrip().endswith(("UTC", "GMT"))
            return in_zone(instant, "UTC" if is_utc else zone) if instant.tzinfo is None else instant.astimezone(UTC)
    return None


def find_time(text: str, zone: str) -> datetime | None:
    """Finds the first time within a text, and returns its instant; None if there is no time.

    Examples:
        >>> str(find_time("Date: [2024-05-01 14:00:00+0200] got", "UTC"))
        '2024-05-01 12:00:00+00:00'
    """
    match = _SOUGHT.search(text)
    return read_any(match[0], zone) if match else None


#: Notation -> parser of a text, given the IANA name of the zone for times without a zone.
TIMES: Final[dict[str, Callable[[str, str], datetime | None]]] = {
    "clf": lru_cache(4096)(read_clock),
    "iso8601": lru_cache(4096)(_read_iso8601),
    "haproxy": lru_cache(4096)(read_clock),
    "epoch": _read_epoch,
    "any": lru_cache(4096)(read_any),
}


def time_reader(name: str) -> Callable[[str, str], datetime | None]:
    """Returns the parser for `Format.time`: a key of `TIMES`, or the word `layout` and a strftime layout.

    Examples:
        >>> str(time_reader("layout %d.%m.%Y %T")("01.05.2024 14:00:00", "Europe/Berlin"))
        '2024-05-01 12:00:00+00:00'
    """
    word, _, layout = name.partition(" ")
    if word != "layout":
        return TIMES[name]
    known = layout.replace("%T", "%H:%M:%S").replace("%F", "%Y-%m-%d").replace("%e", "%d")

    @lru_cache(4096)
    def read(text: str, zone: str) -> datetime | None:
        if known == "%s":
            return _read_epoch(text, zone)
        try:
            instant = datetime.strptime(text, known)  # noqa: DTZ007
        except ValueError:
            return None
        return in_zone(instant, zone) if instant.tzinfo is None else instant.astimezone(UTC)

    return read
