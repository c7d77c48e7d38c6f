"""Parses amounts, currencies and timestamps. No function raises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Set
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import polars as pl
import pyarrow as pa

from etl.columnar.factorize import map_distinct
from etl.columnar.string_buffers import series_of
from etl.rules.page import WHITE_SPACE
from etl.schema import INSTANT, MONEY

#: Decimal digits of the minor unit by currency, from ISO 4217 (`tests/test_code_tables.py`).
CURRENCIES: Final = resources.files(__package__) / "currencies.json"

_NUMBER: Final = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER_PARTS: Final = re.compile(r"([+-]?)([0-9]*+)\.?([0-9]*+)(?:[eE]([+-]?[0-9]+))?")
_IS_NUMBER: Final = re.compile(_NUMBER)
_PLAIN_NUMBER: Final = r"^[+-]?[0-9]{1,20}(?:\.[0-9]{1,9})?$"

_QUANTUM: Final = Decimal("1e-9")
_AMOUNT_LIMIT: Final = Decimal("1e29")
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


def amount(texts: pl.Series) -> pl.Series:
    """Parses `[+-]? digits [. digits] [exponent]`, trimmed, as Decimal(38, 9), rounded half even; null for other text.

    Source: rules 4.1.

    Examples:
        >>> amount(pl.Series(["120.00", " .5e1 ", "$12", "1e29", None])).to_list()
        [Decimal('120.000000000'), Decimal('5.000000000'), None, None, None]
    """
    return _convert_or_read(
        texts, _PLAIN_NUMBER, lambda plain: plain.str.strip_prefix("+").cast(MONEY), read_amount, MONEY
    )


def is_positive_number(texts: pl.Series) -> pl.Series:
    """Returns whether each trimmed text is a number greater than zero, unrounded and of any size (rules 5.3).

    Examples:
        >>> is_positive_number(pl.Series(["1e-99", "1e99", "0.0", "-1", "x", None])).to_list()
        [True, True, False, False, False, None]
    """
    trimmed = texts.str.strip_chars()
    is_number = trimmed.str.contains(f"^{_NUMBER}$")
    return is_number & trimmed.str.contains(r"^\+?[0-9.]*[1-9]")


def read_amount(text: str) -> Decimal | None:
    """Parses one amount by the grammar of `amount`; None for other text."""
    text = text.strip(WHITE_SPACE)
    if not _IS_NUMBER.fullmatch(text):
        return None
    match = _NUMBER_PARTS.fullmatch(text)
    assert match
    sign, whole, fraction, exponent = match.groups()
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return _QUANTUM * 0
    magnitude = len(digits) - len(fraction) + _clamp_exponent(exponent or "0", len(text) + 100)
    if magnitude > 29:
        return None
    if magnitude < -9:
        return _QUANTUM * 0
    rounded = Decimal(f"{sign}0.{digits}e{magnitude}").quantize(_QUANTUM, context=_EXACT)
    return rounded if rounded.copy_abs() < _AMOUNT_LIMIT else None


def read_currency(text: str) -> dict[str, str | None]:
    """Returns a currency as the tables store it, and its fault: `invalid`, `unknown` or None.

    Source: rules 4.3.

    Examples:
        >>> [tuple(read_currency(text).values()) for text in (" eur", "XYZ", "euro")]
        [('EUR', None), ('XYZ', 'unknown'), ('euro', 'invalid')]
    """
    code = text.strip(WHITE_SPACE)
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        return {"currency": text, "fault": "invalid"}
    upper = code.upper()
    return {"currency": upper, "fault": None if upper in active_currencies() else "unknown"}


@cache
def minor_unit_digits(currency: str) -> int | None:
    """Returns the power of ten of a currency's minor unit in ISO 4217; None for an unknown currency (rules 4.1a).

    Examples:
        >>> [minor_unit_digits(code) for code in ("USD", "JPY", "KWD", "XYZ")]
        [2, 0, 3, None]
    """
    return _currencies().get(currency)


def active_currencies() -> Set[str]:
    """Returns the three-letter codes that ISO 4217 lists as active."""
    return _currencies().keys()


@cache
def _currencies() -> dict[str, int | None]:
    """Returns the table of ISO 4217. The package with the list reads it from XML whenever it is imported."""
    table: dict[str, int | None] = json.loads(CURRENCIES.read_bytes())
    return table


FIRST_SECOND: Final = 946_684_800  # 2000-01-01
LAST_SECOND: Final = 4_102_444_800  # 2100-01-01
_PLAIN_SECONDS: Final = r"^(?:9[5-9][0-9]{7}|[1-3][0-9]{9})$"
_DECIMAL_SECONDS: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
_ISO_8601: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(?:(Z)|([+-])([0-9]{2}):?([0-5][0-9])?)?)?"
)
#: Texts that `datetime.fromisoformat` reads as `read_iso8601` does, but faster.
_PLAIN_UTC: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}(?:[0-9]{3})?)?Z")
#: The same texts without minutes or seconds past 59 and without the year 0.
_VALID_UTC: Final = r"^(?:[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-5][0-9]:[0-5][0-9](?:\.[0-9]{3}(?:[0-9]{3})?)?Z$"
#: Units of a dump's times that are no seconds: parts of a second.
_UNITS: Final = (1_000, 1_000_000)

#: Numbers of seconds with up to 11 digits lie before the year 5139.
_EPOCH_DIGITS: Final = 11

_LONGEST_PARTS: Final = 18

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_instant(texts: pl.Series) -> pl.Series:
    """Parses `digits[.digits]` seconds since 1970, from 2000 to 2100, truncated to microseconds; null for other text.

    Source: rules 6.2.

    Examples:
        >>> [str(t) for t in epoch_instant(pl.Series(["1714564800", "1714564800.5", "1714564800000", None]))]
        ['2024-05-01 12:00:00+00:00', '2024-05-01 12:00:00.500000+00:00', 'None', 'None']
    """
    return _convert_or_read(
        texts,
        _PLAIN_SECONDS,
        lambda plain: (plain.cast(pl.Int64) * 1_000_000).cast(INSTANT),
        _read_seconds,
        INSTANT,
    )


def thousandth(texts: pl.Series) -> pl.Series:
    """Returns the thousandth of numbers of 12 or 13 digits with an optional fraction, as text; null for other text.

    Examples:
        >>> thousandth(pl.Series(["1714564800123", " 1714564800123.45 ", "1714564800", None])).to_list()
        ['1714564800.123', '1714564800.12345', None, None]
    """
    digits = texts.str.strip_chars().str.extract_groups(r"^([0-9]{9,10})([0-9]{3})(?:\.([0-9]*))?$").struct.unnest()
    return digits["1"] + "." + digits["2"] + digits["3"].fill_null("")


def read_iso8601(text: str) -> datetime | None:
    """Parses `YYYY-MM-DD[(T| )HH:MM[:SS[.digits]][zone]]` as a UTC instant; None for other text.

    The zone is `Z` or an offset; without a zone the time is UTC.
    """
    if _PLAIN_UTC.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None
    match = _ISO_8601.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    micros = (fraction or "")[:6].ljust(6, "0")
    offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        local = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), int(micros), zone
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _read_seconds(text: str) -> datetime | None:
    """Parses one text by the grammar of `epoch_instant`."""
    match = _DECIMAL_SECONDS.fullmatch(text.strip(WHITE_SPACE))
    whole = match[1].lstrip("0") if match else ""
    if not match or len(whole) > 10 or not whole:
        return None
    seconds = Decimal(f"{whole}.{match[2] or 0}")
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        return None
    micros = (seconds * 1_000_000).quantize(Decimal(1), rounding=ROUND_DOWN, context=Context(prec=60))
    return EPOCH + timedelta(microseconds=int(micros))


def _clamp_exponent(exponent: str, limit: int) -> int:
    """Returns an exponent as an integer; an exponent of ten or more digits becomes the limit."""
    digits = exponent.lstrip("+-").lstrip("0")
    size = int(digits) if digits and len(digits) < 10 else (limit if digits else 0)
    return -size if exponent.startswith("-") else size


def _convert_or_read(
    texts: pl.Series,
    plain_pattern: str,
    convert: Callable[[pl.Series], pl.Series],
    read: Callable[[str], Any],
    dtype: pl.DataType,
) -> pl.Series:
    """Converts the texts that match a pattern all at once, and calls `read` for each distinct text that does not."""
    if texts.null_count() == len(texts):
        return pl.Series(texts.name, [None], dtype=dtype).new_from_index(0, len(texts))
    is_plain = texts.str.contains(plain_pattern)
    plain = convert(texts.set(~is_plain.fill_null(False), None))
    if is_plain.all(ignore_nulls=True):
        return plain
    others = map_distinct(texts.set(is_plain.fill_null(False), None), read, dtype)
    return plain.fill_null(others)


def instants(texts: pl.Series) -> pl.Series:
    """Applies `read_instant` to a column: Datetime(us, UTC), null where a text is no instant.

    Examples:
        >>> texts = pl.Series(["2024-05-01T12:00:00.250Z", "1714564800", "2024-02-30T12:00:00Z", "soon", None])
        >>> instants(texts).dt.hour().to_list()
        [12, 12, None, None, None]
    """
    parsed = _parse_valid_utc(texts.set(~texts.str.contains(_VALID_UTC), None))
    return parsed.fill_null(map_distinct(texts.set(parsed.is_not_null(), None), read_instant, INSTANT))


def _parse_valid_utc(texts: pl.Series) -> pl.Series:
    """Parses texts of the form `_VALID_UTC`. Arrow is ten times as fast as polars, but fails if any date is invalid."""
    try:
        times = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        times = texts.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
        return times.dt.replace_time_zone("UTC")
    return series_of(times)


@lru_cache(maxsize=4096)
def read_instant(text: str) -> datetime | None:
    """Parses a dump's `received_at`: ISO 8601, or seconds, milliseconds or microseconds since 1970; None otherwise.

    Examples:
        >>> str(read_instant("2024-05-01T14:00:00+02:00")), str(read_instant("1714564800.25"))
        ('2024-05-01 12:00:00+00:00', '2024-05-01 12:00:00.250000+00:00')
    """
    if _PLAIN_UTC.fullmatch(text):
        return read_iso8601(text)
    match = _DECIMAL_SECONDS.fullmatch(text.strip(WHITE_SPACE))
    if match and len(match[1].lstrip("0")) <= _EPOCH_DIGITS:
        return EPOCH + timedelta(seconds=int(match[1]), microseconds=int((match[2] or "")[:6].ljust(6, "0")))
    return _read_parts(text.strip(WHITE_SPACE)) or read_iso8601(text.strip(WHITE_SPACE))


def _read_parts(text: str) -> datetime | None:
    """Parses whole milliseconds or microseconds since 1970, from 2000 to 2100; None for other text."""
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdecimal() and 0 < len(digits) < _LONGEST_PARTS):
        return None
    fitting = (parts for parts in _UNITS if FIRST_SECOND * parts <= int(digits) <= LAST_SECOND * parts)
    return next((EPOCH + timedelta(microseconds=int(digits) * 1_000_000 // parts) for parts in fitting), None)
