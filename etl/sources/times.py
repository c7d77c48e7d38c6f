"""How logs write times: text in, UTC instant out; None where no such time exists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from etl.values import EPOCH, read_instant

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def read_clock(text: str, _zone: str = "UTC") -> datetime | None:
    """The instant of `dd/Mon/yyyy:HH:MM:SS +ZZZZ`."""
    try:
        local, zone = text.split(" ")
        day, month, rest = local.split("/")
        year, hour, minute, second = map(int, rest.split(":"))
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
        away = timezone(-offset if zone.startswith("-") else offset)
        number = MONTHS.index(month) + 1
        return datetime(year, number, int(day), hour, minute, second, tzinfo=away).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def in_zone(local: datetime, zone: str) -> datetime:
    """The UTC instant of a wall clock in a zone; of the two of an hour that comes twice, the first."""
    return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _read_iso8601(text: str, zone: str) -> datetime | None:
    """ISO 8601 with any number of fraction digits; without a zone it is a wall clock."""
    try:
        instant = datetime.fromisoformat(text.strip().replace(" UTC", "Z").replace(",", "."))
    except ValueError:
        return None
    return in_zone(instant, zone) if instant.tzinfo is None else instant.astimezone(UTC)


def _read_epoch(text: str, _zone: str) -> datetime | None:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size."""
    digits, _, fraction = text.strip().partition(".")
    if digits.isascii() and digits.isdigit() and len(digits) == 19:
        return EPOCH + timedelta(microseconds=int(digits[:-3]))
    return read_instant(f"{digits}.{fraction}" if fraction else digits) if digits[:1].isdigit() else None


#: Name -> the instant of a text, given the IANA name of the zone of times that say none.
TIMES: Final[dict[str, Callable[[str, str], datetime | None]]] = {
    "clf": lru_cache(4096)(read_clock),
    "iso8601": lru_cache(4096)(_read_iso8601),
    "epoch": _read_epoch,
}


def read_any(text: str, zone: str) -> datetime | None:
    """The instant of a text in any of the ways that keys of unknown make write it."""
    return next((found for read in TIMES.values() if (found := read(text, zone))), None)
