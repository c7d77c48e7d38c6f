"""Text to value for the plain-Python peer: instants, amounts, names, JSON scalars, and what is wrong with a record."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from typing import Any, Final

CLOCK: Final = re.compile(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]")
NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
PLAIN_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,9})?")
SECONDS: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
WORDS_FOR_NOTHING: Final = frozenset(
    ("null", "undefined", "none", "nil", "nan", "n/a", "na", "-", "[object object]", "0", "false", "unknown")
)
_WORD: Final = r" ?[A-Za-z0-9$_](?: ?[A-Za-z0-9_.|$\[\]-])* ?"
_HALF: Final = r" ?[A-Za-z0-9$_](?: ?[A-Za-z0-9_.|$-])* ?"
_FORMS: Final = "{x} {{x}} {{{x}}} [x] [[x]] [[[x]]] <x> <%=x%> ${x} %x% %%x%% __x__ !x! !!x!! !!!x!!! --x-- #x# ##x##"
_MACROS: Final = f"{_FORMS} *|x|* $$x$$ @@x@@"
_HALVES: Final = "{x {{x ${x [x [[x <x x} x}} x] x]] x>"
#: A macro that nobody replaced, or the placeholder of a manual.
MACRO: Final = re.compile(
    "|".join(
        re.escape(form).replace("x", word)
        for forms, word in ((_MACROS, _WORD), (_HALVES, _HALF))
        for form in forms.split()
    )
    + "|(?:YOUR_)?(?:CLICK|REF|TRANSACTION|ORDER)_?ID(?:_HERE)?|REPLACE_ME|REPLACE_THIS|CHANGE_?ME|PLACEHOLDER"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTHS: Final = {name: i for i, name in enumerate(_MONTHS, 1)}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
FIRST_SECOND, LAST_SECOND = 946_684_800, 4_102_444_800  # 2000-01-01, 2100-01-01
EXACTLY: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


@lru_cache(maxsize=16)
def log_instant(clock: str) -> int:
    """Microseconds since 1970 of a log's time; lines of one second follow one another."""
    zone = timedelta(hours=int(clock[21:24]), minutes=int(clock[21] + clock[24:26]))
    at = datetime(int(clock[7:11]), MONTHS[clock[3:6]], int(clock[:2]), *map(int, clock[12:20].split(":")), tzinfo=UTC)
    return (at - zone - EPOCH) // MICROSECOND


def amount(text: str | None) -> str | None:
    """The number as text with at most nine decimals, which Arrow reads as decimal128(38, 9)."""
    if text is None:
        return None
    text = text.strip().removeprefix("+")
    if PLAIN_NUMBER.fullmatch(text):
        return text
    if not NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    if number.adjusted() >= 29:
        return None
    with localcontext(EXACTLY):
        return f"{number.quantize(Decimal('1e-9')):f}"


def is_positive(text: str) -> bool:
    """Whether the text is a number above zero."""
    text = text.strip()
    return bool(NUMBER.fullmatch(text)) and Decimal(text) > 0


def occurred_at(text: str | None) -> int | None:
    """Microseconds since 1970 of a timestamp in seconds; None for any other text."""
    match = SECONDS.fullmatch(text.strip()) if text else None
    if not match:
        return None
    fraction = match[2] or ""
    seconds = int(match[1])
    if not FIRST_SECOND <= seconds <= LAST_SECOND or (seconds == LAST_SECOND and fraction.strip("0")):
        return None
    return seconds * 1_000_000 + int(fraction[:6].ljust(6, "0"))


@lru_cache(maxsize=65_536)
def split_name(full: str) -> tuple[str | None, str | None]:
    """First and last name of a full name, `Last, First` too."""
    last, comma, first = full.partition(",")
    if not comma or "," in first:
        first, _, last = " ".join(full.split()).partition(" ")
    return " ".join(first.split()) or None, " ".join(last.split()) or None


def scalar(value: Any) -> str:
    """A JSON scalar as text: whole digits, doubles in plain notation without a trailing `.0`."""
    if value is True or value is False:
        return "true" if value else "false"
    text = repr(value)
    if "e" in text:
        text = f"{Decimal(text):f}"
    return text.removesuffix(".0")


def line_fault(line: str) -> str:
    """What is wrong with a line that is no combined line."""
    clock = CLOCK.search(line)
    if not clock:
        return "Not an access-log line: no time such as [01/May/2024:12:00:00 +0000]"
    quotes = line.count('"', clock.end())
    if quotes < 2:
        return (
            "Cut off within the request: its closing quote is missing"
            if quotes
            else "No request in quotes after the time"
        )
    return "No status and size after the request"


def json_fault(raw: str) -> str:
    """What is wrong with a record that is no JSON."""
    if raw.lstrip()[:1] not in ("{", "["):
        return "Not JSON: it begins with neither { nor ["
    return "Not valid JSON" if raw.rstrip()[-1:] in ("}", "]") else "Not valid JSON: cut off before its closing bracket"
