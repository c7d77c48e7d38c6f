"""A slow second reading of the rules: what every record of a log or dump becomes, one row at a time.

Nothing here knows the package `etl`. It is written from `custom-integration-params.md` ("the page"),
`the rules` and `contract.md` alone, and the tests compare it with the pipeline. The marks
`# rules N.N` say which ruling a function reads.
"""

from __future__ import annotations

import hashlib
import html.entities
import ipaddress
import json
import re
import sys
import unicodedata
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import iso4217
import pycountry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

sys.setrecursionlimit(max(sys.getrecursionlimit(), 10_000))  # JSON may nest 500 deep


class Options(NamedTuple):
    """The switches of the rules (the ⚙ of the rules) and of the command line."""

    default_currency: str | None = None
    account: str | None = None
    integration: str | None = None
    pii: str = "hash"  # hash | keep | drop
    array_bodies: str = "malformed"  # | records
    parameter_order: str = "query_first"  # | body_first
    alias_order: str = "listed"  # | payload
    email_identity: str = "folded"  # | exact
    conversion_type_match: str = "exact"  # | trimmed
    dedup_scope: str = "event"  # | transaction | off
    dedup_window: timedelta | None = None


class Result(NamedTuple):
    """Where every record ended: in exactly one conversion, rejection or counted skip."""

    conversions: list[dict[str, Any]]
    items: list[dict[str, Any]]
    passthroughs: list[dict[str, Any]]
    rejections: list[dict[str, Any]]
    skipped: dict[str, int]
    unrecognised: dict[str, int]


class Origin(NamedTuple):
    """What a record says about its request, apart from the parameters."""

    record_no: int
    account_id: str | None = None
    integration: str | None = None
    received_at: datetime | None = None
    http_method: str | None = None
    http_status: int | None = None
    client_ip: str | None = None
    user_agent: str | None = None


class Param(NamedTuple):
    """One parameter in the request's order; `flat` means from a query or a form."""

    name: str
    value: Any  # text, or an object or array of JSON
    flat: bool


class Request(NamedTuple):
    """A request, or a bare payload with its text."""

    origin: Origin
    params: list[Param]
    bare_text: str = ""


class Skip(NamedTuple):
    reason: str


class Rejected(NamedTuple):
    origin: Origin
    reasons: list[str]


class Candidate(NamedTuple):
    """A record that is a conversion, unless it is a duplicate."""

    row: dict[str, Any]
    items: list[dict[str, Any]]
    passthroughs: list[dict[str, Any]]
    raw_match_key: str
    dedup_key: tuple[str | None, ...] | None


# --- the page -----------------------------------------------------------------------------------------------

CORE: Final = {
    "click_id": ("click_id", "clickid", "click"),
    "ref_id": ("ref_id", "refid", "ref"),
    "email": ("email",),
    "value": ("value", "commission", "amount", "revenue", "total", "total_value", "event_value"),
    "currency": ("currency", "cur", "curr"),
    "event_name": ("event_name", "eventname", "event"),
    "transaction_id": ("transaction_id", "transactionid", "transaction"),
    "brand_name": ("brand_name", "brandname", "brand"),
    "timestamp": ("timestamp", "time", "date", "datetime", "created_at"),
}
EVENTS: Final = {
    "OutboundClick": ("click", "outbound_click", "outboundclick"),
    "FormSubmit": ("form_submit", "formsubmit"),
    "Lead": ("lead", "cpl"),
    "CompleteRegistration": (
        "registration", "complete_registration", "completeregistration", "acquisition", "cpa",
    ),
    "Purchase": ("purchase", "sale", "cps"),
}  # fmt: skip
TRAITS: Final = {
    "email": ("email",),
    "first_name": ("first_name", "firstName"),
    "last_name": ("last_name", "lastName"),
    "full_name": ("full_name", "fullName", "name"),
    "phone": ("phone",),
    "birthdate": ("birthdate",),
    "city": ("city",),
    "state": ("state",),
    "zipcode": ("zipcode",),
    "country": ("country",),
}
ITEM_ARRAYS: Final = ("items", "line_items", "products")
ITEM_FIELDS: Final = {
    "item_id": ("id", "product_id", "item_id"),
    "name": ("name", "title", "label", "product_name", "item_name"),
    "variant": ("variant", "variant_id", "product_variant", "item_variant"),
    "price": ("price", "product_price", "item_price"),
    "quantity": ("qty", "quantity", "product_quantity", "item_quantity"),
}
MESSAGES: Final = {
    "unread_postback": "The text holds the collect path, but no request was read from it",  # rules 1.3d
    "missing_identity": "Missing click_id, ref_id and email",  # rules 3.1
    "unknown_conversion_type": "Unknown conversion_type",  # rules 5.2
    "duplicate_transaction": "Duplicate transaction_id",  # rules 6.3
}
PERSONAL: Final = ("email", "phone", "first_name", "last_name", "birthdate", "city", "state", "zipcode")

# --- text ---------------------------------------------------------------------------------------------------

WHITE_SPACE: Final = (  # rules 1.6
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def trim(text: str) -> str:  # rules 1.6
    return text.strip(WHITE_SPACE)


def is_empty(value: Any) -> bool:  # rules 1.6
    return value is None or (isinstance(value, str) and not trim(value))


def ascii_lower(text: str) -> str:
    return text.translate(ASCII_LOWER)


@cache
def fold(name: str) -> str:  # rules 2.1
    return ascii_lower(name).replace("_", "").replace("-", "")


CORE_FOLDS: Final = {field: tuple(dict.fromkeys(map(fold, names))) for field, names in CORE.items()}
ITEM_ARRAY_FOLDS: Final = tuple(map(fold, ITEM_ARRAYS))
EXACT_NAMES: Final = ("conversion_type", *(name for names in TRAITS.values() for name in names))
KNOWN_NAMES: Final = (*(name for names in CORE.values() for name in names), *EXACT_NAMES, *ITEM_ARRAYS)


# --- decoding -----------------------------------------------------------------------------------------------


def percent_decode(data: bytes) -> bytes:  # rules 1.2
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), data)


def urlencoded(query: bytes) -> list[tuple[str, str]]:  # rules 1.2
    pairs = []
    for piece in query.split(b"&"):
        if piece:
            name, _, value = piece.replace(b"+", b" ").partition(b"=")
            pairs.append((utf8(percent_decode(name)), utf8(percent_decode(value))))
    return pairs


def utf8(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class Number(str):
    """The text of a JSON number, to tell it from a JSON string."""

    __slots__ = ()


def double_text(literal: str) -> str:  # rules 1.5
    shortest = repr(float(literal))
    if "inf" in shortest:
        return literal  # no double, so no shortest text: as it is written
    return format(Decimal(shortest), "f").removesuffix(".0")


def parse_json(text: str, deepest: int = 500) -> Any:
    """RFC 8259, else ValueError; numbers as `Number`."""

    def refuse(literal: str) -> None:
        raise ValueError(literal)

    depth = 0
    for mark in re.findall(r"[\[\]{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)):
        depth += 1 if mark in "[{" else -1
        if depth > deepest:
            refuse("too deep")
    value = json.loads(
        text,
        parse_int=lambda literal: Number("0" if literal == "-0" else literal),
        parse_float=lambda literal: Number(double_text(literal)),
        parse_constant=refuse,
    )
    return without_surrogates(value)


def without_surrogates(value: Any) -> Any:
    if isinstance(value, dict):
        return {without_surrogates(name): without_surrogates(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_surrogates(inner) for inner in value]
    if isinstance(value, str) and not isinstance(value, Number):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    return value


def is_structured(value: Any) -> bool:
    return isinstance(value, dict | list)


def scalar_text(value: Any) -> str:  # rules 1.5
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def compact_json(value: Any) -> str:  # rules 7.4
    if isinstance(value, dict):
        inner = (f"{json.dumps(name, ensure_ascii=False)}:{compact_json(v)}" for name, v in value.items())
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact_json, value)) + "]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else scalar_text(value)
    return str(value) if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


# --- numbers and times --------------------------------------------------------------------------------------

NUMBER: Final = re.compile(r"([+-]?)([0-9]+)?(?:\.([0-9]*))?(?:[eE]([+-]?)([0-9]+))?")


class Parsed(NamedTuple):
    """A number by the grammar of 4.1: ±digits × 10 ** exponent, without limits."""

    negative: bool
    digits: str  # without leading zeros; empty is zero
    exponent: int


def parse_number(text: str) -> Parsed | None:  # rules 4.1
    found = NUMBER.fullmatch(trim(text))
    if not found or not (found[2] or found[3]):
        return None
    size = (found[5] or "").lstrip("0")
    power = int(size or 0) if len(size) < 16 else 10**16
    digits = ((found[2] or "") + (found[3] or "")).lstrip("0")
    return Parsed(found[1] == "-", digits, (-power if found[4] == "-" else power) - len(found[3] or ""))


def decimal_38_9(number: Parsed | None) -> Decimal | None:  # rules 4.1
    """Half even to nine places, or None where Decimal(38, 9) has no room."""
    if number is None:
        return None
    magnitude = len(number.digits) + number.exponent if number.digits else -99
    if magnitude > 40:
        return None
    if magnitude < -20:
        return Decimal("0.000000000")
    exact = Decimal((int(number.negative), tuple(map(int, number.digits)), number.exponent))
    room = Context(prec=len(number.digits) + 100, rounding=ROUND_HALF_EVEN)
    rounded = exact.quantize(Decimal("1e-9"), context=room)
    if rounded.copy_abs() >= 10**29:
        return None
    return rounded if rounded else rounded.copy_abs()


CURRENCY_SIGNS: Final = {c for c in map(chr, range(0x20000)) if unicodedata.category(c) == "Sc"} - set("¢")
ONE_CURRENCY: Final = {
    "€": "EUR", "£": "GBP", "zł": "PLN", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW", "₪": "ILS", "₫": "VND",
    "₴": "UAH", "฿": "THB", "r$": "BRL", "kč": "CZK", "ft": "HUF", "us$": "USD", "ca$": "CAD", "au$": "AUD",
    "nz$": "NZD", "hk$": "HKD", "s$": "SGD", "mx$": "MXN",
}  # fmt: skip
SHARED: Final = {
    "$": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "CLP", "COP"),
    "¥": ("JPY", "CNY"),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
    "rs": ("INR", "PKR", "LKR", "NPR", "MUR", "SCR"),
}
UNSAID: Final = {"$": "USD", "¥": "JPY", "kr": None, "rs": "INR"}
SEPARATORS: Final = " \u00a0\u202f\u2009'’"


def mark_meaning(mark: str) -> set[str]:  # rules 4.1
    """The currencies that a sign or code can mean; an empty text where it is a sign of none that is known."""
    mark = mark.lower().removesuffix(".") if mark.lower() in {"kr.", "rs."} else mark.lower()
    if mark in ONE_CURRENCY:
        return {ONE_CURRENCY[mark]}
    if mark in SHARED:
        return set(SHARED[mark])
    if re.fullmatch("[a-z]{3}", mark):
        return {mark.upper()} & active_currencies()
    return {""} if mark[-1:] in CURRENCY_SIGNS and re.fullmatch("[a-z]{0,2}", mark[:-1]) else set()


def split_marks(text: str) -> list[str] | None:  # rules 4.1
    """The signs and codes of a text that holds nothing else."""
    marks = []
    while text := trim(text):
        found = re.match("[A-Za-z]{0,2}[^A-Za-z0-9]|[A-Za-z]{3}|zł|kč|ft|kr|rs", text, re.IGNORECASE)
        sized = sorted((len(text[:size]), text[:size]) for size in (1, 2, 3) if len(text) >= size)
        known = [one for _, one in sized if mark_meaning(one)]
        if not found or not known:
            return None
        marks.append(known[-1])
        text = text[len(known[-1]) :]
    return marks


def grouped_number(text: str) -> str | None:  # noqa: PLR0911 - rules 4.1, one notation after another
    """A number in digits and a point, of one whose notation is clear."""
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text):
        return text
    separators = [c for c in text if not "0" <= c <= "9"]
    if not separators:
        return None
    first, last = separators[0], separators[-1]
    whole, fraction = text, ""
    if (last in ".," and last != first) or (set(separators) == {","} and len(separators) == 1):
        whole, _, fraction = text.rpartition(last)
        if not fraction:
            return None
        if last == first:  # one comma, and nothing else
            is_thousands = len(fraction) == 3 and 1 <= len(whole) <= 3 and whole != "0"
            return whole + fraction if is_thousands else whole + "." + fraction
    inner = {c for c in whole if not "0" <= c <= "9"}
    if len(inner) != 1 or (fraction and not fraction.isdecimal()):
        return None
    (separator,) = inner
    if separator not in ".," + SEPARATORS or ((separator == "." and last == ".") and len(separators) < 2):
        return None
    groups = whole.split(separator)
    sizes = [len(group) for group in groups]
    is_european = 1 <= sizes[0] <= 3 and set(sizes[1:]) == {3}
    is_indian = separator == "," and 1 <= sizes[0] <= 2 and sizes[-1] == 3 and set(sizes[1:-1]) == {2}
    if groups[0] == "0" or not (is_european or is_indian):
        return None
    return "".join(groups) + ("." + fraction if fraction else "")


def repair_value(  # noqa: PLR0911 - one way out a doubt
    text: str,
) -> tuple[Decimal | None, str | None, str | None]:  # rules 4.1
    """(value, the currency that the text says, a sign that several currencies share)."""
    nothing = None, None, None
    plain = "".join(str(unicodedata.decimal(c, c)) for c in trim(text))
    for wide, narrow in ("\u2212-", "＄$", "￡£", "￥¥", "￦₩"):
        plain = plain.replace(wide, narrow)
    unsigned = plain.lstrip("+-" + WHITE_SPACE) if plain[:1] in "+-" else plain
    if re.fullmatch(r"\(?[0-9.]+[eE][+-]?[0-9]+\)?", plain.removeprefix("-").removeprefix("+")):
        number, around = (
            plain.strip("()+-"),
            [plain[: plain.index(plain.strip("()+-"))], ")" if plain[-1] == ")" else ""],
        )
        marks: list[str] = []
        body: str | None = number
    else:
        digits = [at for at, c in enumerate(unsigned) if c in "0123456789"]
        if not digits:
            return nothing
        shift = len(plain) - len(unsigned)
        start, end = digits[0] + shift, digits[-1] + shift + 1
        while start and plain[start - 1] in ".," and plain[:start].lower()[-3:] not in {"rs.", "kr."}:
            start -= 1
        while plain[end : end + 1] in {".", ","}:
            end += 1
        number, around = plain[start:end], [plain[:start], plain[end:]]
        found = [split_marks(re.sub(r"[+\-()]", " ", side)) for side in around]
        if None in found:
            return nothing
        marks = [mark for side in found for mark in side or []]
        body = grouped_number(number)
    said = [c for side in around for c in side if c in "+-()"]
    if said not in ([], ["+"], ["-"], ["(", ")"]) or (said == ["+"] and "+" in around[1]):
        return nothing
    if ("(" in said) != ("(" in around[0] and ")" in around[1]):
        return nothing
    meant = [mark_meaning(mark) for mark in marks]
    agreed = set.intersection(*meant) if meant else set()
    if body is None or len(marks) > 2 or (marks and not agreed):
        return nothing
    value = decimal_38_9(parse_number(("-" if said and said != ["+"] else "") + body))
    if value is None or not marks:
        return value, None, None
    if len(agreed) == 1:
        return value, agreed.pop() or None, None
    return value, None, marks[0].lower().rstrip(".")


def currency_repaired(said: str | None, shared: str | None, own: str | None) -> str | None:  # rules 4.1
    if shared is None:
        return said
    return own if own in SHARED[shared] else UNSAID[shared]


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_SECOND: Final = 946_684_800  # 2000-01-01
LAST_SECOND: Final = 4_102_444_800  # 2100-01-01
ISO_8601: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def epoch_time(text: str, unit: int, first: int = FIRST_SECOND, last: int = LAST_SECOND) -> datetime | None:
    """`text` in `unit`ths of a second, cut to microseconds, where it lies in the range."""
    whole, _, fraction = text.partition(".")
    if len(whole.lstrip("0")) > 20:
        return None
    micros = int(whole) * (1_000_000 // unit) + int(fraction[:6].ljust(6, "0")) // unit
    beyond = micros == last * 1_000_000 and fraction.strip("0")
    inside = first * 1_000_000 <= micros <= last * 1_000_000 and not beyond
    return EPOCH + timedelta(microseconds=micros) if inside else None


def offset_of(zone: str | None) -> timezone | None:
    if zone in {None, "", "Z"}:
        return UTC
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        return None
    away = timedelta(hours=hours, minutes=minutes)
    return timezone(-away if zone[0] == "-" else away)


def utc_time(year: str, month: int, rest: Iterable[str | None], micros: str, zone: str | None) -> datetime | None:
    offset = offset_of(zone)
    day, hour, minute, second = (int(part or 0) for part in rest)
    try:
        local = datetime(int(year), month, day, hour, minute, second, int(micros), tzinfo=offset)
        return local.astimezone(UTC) if offset else None
    except (ValueError, OverflowError):
        return None


def iso_time(text: str) -> datetime | None:  # rules 6.2
    found = ISO_8601.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    return utc_time(year, int(month), (day, hour, minute, second), (fraction or "")[:6].ljust(6, "0"), zone)


MONTHS_LOWER: Final = "jan feb mar apr may jun jul aug sep oct nov dec"
AMERICAN_ZONES: Final = {"est": 5, "edt": 4, "cst": 6, "cdt": 5, "mst": 7, "mdt": 6, "pst": 8, "pdt": 7}


def loose_offset(text: str) -> str | None:  # rules 6.2
    """An offset as `offset_of` reads it; `+` may have become a blank, and a blank may stand before it."""
    found = re.fullmatch(r" ?(?:(Z)|([+ -])([0-9]{2})(?::?([0-9]{2}))?)", text) if text else None
    if not text:
        return "Z"
    if not found:
        return None
    return found[1] or f"{found[2].replace(' ', '+')}{found[3]}{found[4] or '00'}"


def any_date(text: str) -> tuple[datetime | None, str]:  # rules 6.2
    iso = re.fullmatch(
        r"(\d{4})(-?)(\d\d)\2(\d\d)(?:[T ](\d\d)(:?)(\d\d)(?:\6(\d\d)(?:\.(\d+))?)?( ?[Z+ -].*)?)?", text, re.ASCII
    )
    if iso:
        year, dash, month, day, hour, colon, minute, second, fraction, zone = iso.groups()
        offset = loose_offset(zone or "")
        if offset is None or (hour and bool(dash) != bool(colon)):
            return None, "timestamp_iso8601"
        parts = (day, hour, minute, second)
        return utc_time(year, int(month), parts, (fraction or "")[:6].ljust(6, "0"), offset), "timestamp_iso8601"
    words = re.sub(r" \([^()]*\)\Z", "", text)
    commented = words != text
    weekday = r"(?:mon|tue|wed|thu|fri|sat|sun)"
    script = re.fullmatch(
        rf"{weekday} ([a-z]{{3}}) (\d\d) (\d{{4}})(?: (\d\d):(\d\d):(\d\d)(?: GMT(.*))?)?",
        words,
        re.IGNORECASE | re.ASCII,
    )
    mail = re.fullmatch(
        rf"(?:{weekday}, ?)?(\d\d?) ([a-z]{{3}}) (\d{{4}}) (\d\d):(\d\d)(?::(\d\d))? (.+)",
        words,
        re.IGNORECASE | re.ASCII,
    )
    if script and not (commented and not script[7]):
        month, day, year, *clock, zone = script.groups()
        offset = (
            loose_offset(zone) if zone and zone[0] in "+- " and zone[1:2] != " " else ("Z" if zone is None else None)
        )
    elif mail:
        day, month, year, *clock, zone = mail.groups()
        name = zone.lower()
        offset = loose_offset(zone) if zone[0] in "+- " and zone[1:2] not in {" ", "Z"} else None
        if name in {"gmt", "utc", "ut", "z"}:
            offset = "Z"
        elif name in AMERICAN_ZONES:
            offset = f"-{AMERICAN_ZONES[name]:02}00"
    else:
        return None, ""
    months = MONTHS_LOWER.split()
    if offset is None or month.lower() not in months:
        return None, ""
    return utc_time(year, months.index(month.lower()) + 1, (day, *clock), "0", offset), "timestamp_text"


def read_timestamp(text: str) -> tuple[datetime | None, datetime | None, str | None]:  # rules 6.2
    """(occurred_at by the parameter, what it plainly means, issue)."""
    text = trim(text)
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
        if (seconds := epoch_time(text, 1)) is not None:
            return seconds, None, None
        if "." not in text:
            for digits, unit in ((13, "milli"), (16, "micro"), (19, "nano")):
                power = 10 ** (digits - 10)
                if FIRST_SECOND * power <= int(text[-40:]) <= LAST_SECOND * power and len(text.lstrip("0")) < 40:
                    meant = EPOCH + timedelta(microseconds=int(text) * 1_000_000 // power)
                    return None, meant, f"timestamp_{unit}seconds"
    instant, issue = any_date(text)
    if instant is not None and FIRST_SECOND <= (instant - EPOCH) / timedelta(seconds=1) <= LAST_SECOND:
        return None, instant, issue
    return None, None, "invalid_timestamp"


# --- from bytes to requests ---------------------------------------------------------------------------------

QUOTED: Final = r'(?:[^"\\]|\\.)*'
LOG_LINE: Final = re.compile(
    r"(?P<prefix>.+?) \[(?P<day>[0-9]{2})/(?P<month>[A-Za-z]{3})/(?P<year>[0-9]{4})"
    r":(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}) (?P<zone>[+-][0-9]{4})\] "
    rf'"(?P<request>{QUOTED}|.*?)" (?P<status>[0-9]{{3}}|-) (?:[0-9]+|-)(?= |\Z)'
    rf'(?: "{QUOTED}" "(?P<agent>{QUOTED})"(?= |\Z))?',
    re.DOTALL,
)
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Client, ident and user, a time, and the quote before a request.
HEAD: Final = re.compile(r'\S+ [^\s"\[\]]+ [^\s"\[\]]+ \[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} [+-][0-9]{4}\] "')
#: What a line of the combined format begins with, up to its request.
WHOLE_HEAD: Final = re.compile(r'[^\[]*\[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} [+-][0-9]{4}\] "')
ESCAPES: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"v": b"\v", b"f": b"\f"}
COLLECT: Final = re.compile(r"/([^/]+)/collect/([^/]+)/?\Z")
METHODS: Final = ("GET", "POST")
#: The collect path within any text, as it stands, with JSON's escape, or percent-encoded (rules 1.3d).
HELD: Final = re.compile(
    r"""(?:\\?/|%2[Ff])(?![:*$])[^\s/\\?#&"'<>|(){}\[\],;=]+(?:\\?/|%2[Ff])collect(?:\\?/|%2[Ff])"""
    r"""(?![:*$])[^\s/\\?#&"'<>|(){}\[\],;=]+(?:\\?/)?(?=[\s?#&"'<>|(){}\[\],;=:]|\\[^/]|\Z)"""
)


def unescape(field: str) -> bytes:
    """One pass over a logged field (latin-1 text) to the bytes that were sent."""

    def one(found: re.Match[bytes]) -> bytes:
        mark = found[1]
        return bytes([int(mark[1:], 16)]) if mark[:1] == b"x" else ESCAPES.get(mark, mark)

    return re.sub(rb'\\(x[0-9A-Fa-f]{2}|[\\"nrtbvf])', one, field.encode("latin-1"))


def is_address(token: str) -> bool:
    try:
        ipaddress.ip_address(token.strip('",[]'))
    except ValueError:
        return False
    return True


def client_ip(prefix: str) -> str | None:
    """The address, or the one behind a virtual host; the first of a list."""
    tokens = prefix.split()
    if not tokens:
        return None
    behind_vhost = len(tokens) > 1 and not tokens[0].endswith(",") and is_address(tokens[1])
    address = tokens[1 if behind_vhost else 0].strip('",')
    return address if address not in {"", "-"} else None


def split_path(target: str) -> tuple[str, str]:
    path, _, query = target.partition("?")
    return re.sub(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/]*", "", path), query


def read_by_address(record_no: int, line: str, options: Options) -> Request | Rejected:
    """A line in no format, by the one address, time, client and status in it."""
    addresses = re.findall(r"(GET|POST) /([^/ ]+)/collect/([^/ ?]+)\?([^ \"]*)", line)
    times = re.findall(r"\[([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2})(?: \+0000)?\]", line)
    if len(addresses) != 1:
        return Rejected(Origin(record_no), ["malformed_record"])
    method, account, integration, query = addresses[0]
    day, month, year, *clock = times[0] if times else ("",) * 6
    statuses = re.findall(r" ([0-9]{3})(?= |\Z)", line)
    origin = Origin(
        record_no,
        account_id=account,
        integration=integration,
        http_method=method,
        received_at=utc_time(year, MONTHS.index(month) + 1, (day, *clock), "0", "+0000") if times else None,
        http_status=int(statuses[0]) if len(statuses) == 1 else None,
        client_ip=line.partition(" ")[0] if options.pii == "keep" else None,
    )
    return Request(origin, [Param(*pair, flat=True) for pair in urlencoded(query.encode("latin-1"))])


def read_log_line(record_no: int, line: bytes, options: Options) -> Request | Rejected | Skip:
    found = LOG_LINE.match(line.decode("latin-1"))
    is_torn = found and HEAD.search(line.decode("latin-1"), found.start("request"))  # rules 1.3c
    if not found and not WHOLE_HEAD.match(line.decode("latin-1")):
        return read_by_address(record_no, line.decode("latin-1"), options)
    received_at = None
    if found and not is_torn and found["month"] in MONTHS:
        clock = (found["day"], found["hour"], found["minute"], found["second"])
        received_at = utc_time(found["year"], MONTHS.index(found["month"]) + 1, clock, "0", found["zone"])
    if not found or received_at is None:
        return Rejected(Origin(record_no), ["malformed_record"])  # rules 1.3, 1.3c
    agent = utf8(unescape(found["agent"] or ""))
    origin = Origin(
        record_no,
        received_at=received_at,
        http_status=None if found["status"] == "-" else int(found["status"]),
        client_ip=client_ip(found["prefix"]) if options.pii == "keep" else None,
        user_agent=None if agent in {"", "-"} else agent,
    )
    request = re.fullmatch(r"([A-Za-z_-]+) (.+)", unescape(found["request"]).decode("latin-1"), re.DOTALL)
    if not request:
        is_held = HELD.search(utf8(line))
        return Rejected(origin, ["unread_postback"]) if is_held else Skip("not_a_request")  # rules 1.1, 1.3d
    target, _, protocol = request[2].rpartition(" ")
    path, query = split_path(target if protocol.startswith("HTTP/") else request[2])
    collect = COLLECT.search(utf8(path.encode("latin-1")))
    if not collect or request[1] not in METHODS:
        return Skip("not_a_postback")  # rules 1.1
    origin = origin._replace(account_id=collect[1], integration=collect[2], http_method=request[1])
    if request[1] == "POST" and not query:
        return Rejected(origin, ["body_not_logged"])  # rules 1.7
    return Request(origin, [Param(*pair, flat=True) for pair in urlencoded(query.encode("latin-1"))])


def object_params(payload: dict[str, Any], *, flat: bool) -> list[Param]:
    """An object's parameters; in a query, a list of scalars is a repeated parameter."""
    params = []
    for name, value in payload.items():
        repeated = flat and isinstance(value, list) and not any(map(is_structured, value))
        for one in value if repeated else [value]:
            if one is not None:
                params.append(Param(name, one if is_structured(one) else scalar_text(one), flat))
    return params


def encoded_twice(body: str) -> str | None:  # rules 1.3
    """The text of a JSON object that JSON encoded as a string."""
    try:
        inner = parse_json(body) if trim(body).startswith('"') else None
    except ValueError:
        return None
    plain = inner.removeprefix("\ufeff") if isinstance(inner, str) and not isinstance(inner, Number) else ""
    return plain if plain.lstrip(" \t\r\n").startswith("{") else None


def body_params(body: Any) -> list[Param] | None:  # rules 1.3
    """A body's parameters, or None for `malformed_body`."""
    if is_empty(body):
        return []
    if isinstance(body, str) and not isinstance(body, Number):
        body = body.removeprefix("\ufeff")
        if is_empty(body):
            return []
        if (inner := encoded_twice(body)) is not None:
            body = inner
        elif trim(body)[0] not in "{[":
            return [Param(*pair, flat=True) for pair in urlencoded(body.encode())]
        try:
            body = parse_json(body)
        except ValueError:
            return None
    return object_params(body, flat=False) if isinstance(body, dict) else None


def query_params(query: Any, addresses: Iterable[str]) -> list[Param]:
    if isinstance(query, dict) and query:
        return object_params(query, flat=True)
    texts = [query if isinstance(query, str) else "", *(split_path(address)[1] for address in addresses)]
    chosen = next((text for text in texts if trim(text)), "")
    return [Param(*pair, flat=True) for pair in urlencoded(chosen.encode())]


def envelope_time(value: Any) -> datetime | None:  # rules 6.1
    text = trim(scalar_text(value)) if value is not None and not is_structured(value) else ""
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
        return epoch_time(text, 1, first=0, last=253_402_300_799)
    return iso_time(text)


def is_envelope(payload: dict[str, Any]) -> bool:
    about = ("method", "path", "url", "headers", "received_at")
    return bool({"body", "query"} & payload.keys()) and any(name in payload for name in about)


def collect_addresses(payload: dict[str, Any]) -> list[str]:  # rules 1.3a
    named = [payload.get(name) for name in ("url", "path", "uri", "target", "request_uri")]
    return [
        text
        for text in named
        if isinstance(text, str) and not isinstance(text, Number) and COLLECT.search(split_path(text)[0])
    ]


def read_payload(record_no: int, payload: Any, options: Options) -> Request | Rejected | Skip:
    origin = Origin(record_no, options.account, options.integration)
    if not isinstance(payload, dict):
        return Rejected(origin, ["malformed_body"])
    addresses = [payload[name] for name in ("url", "path") if isinstance(payload.get(name), str)]
    addresses = [address for address in addresses if trim(address)]
    if not is_envelope(payload):
        addresses = collect_addresses(payload)
        if not addresses:
            return Request(origin, object_params(payload, flat=False), texts_within(payload))
    method = None if is_empty(payload.get("method")) else scalar_text(payload["method"])
    collect = COLLECT.search(split_path(addresses[0])[0]) if addresses else None
    if (addresses and not collect) or method not in {None, *METHODS}:
        return Skip("not_a_postback")  # rules 1.1
    headers: Any = payload.get("headers")
    headers = headers if isinstance(headers, dict) else {}
    agents = [value for name, value in headers.items() if name.lower() == "user-agent"]
    agent = (agents[0][:1] or [None])[0] if agents and isinstance(agents[0], list) else (agents or [None])[0]
    origin = origin._replace(
        received_at=envelope_time(payload.get("received_at")),
        http_method=method,
        user_agent=None if agent is None or is_structured(agent) else scalar_text(agent) or None,
    )
    if collect:
        origin = origin._replace(account_id=collect[1], integration=collect[2])
    body = body_params(payload.get("body"))
    if body is None:
        return Rejected(origin, ["malformed_body"])
    query = query_params(payload.get("query"), addresses)
    params = body + query if options.parameter_order == "body_first" else query + body  # 1.4
    return Request(origin, params, "" if collect else texts_within(payload))


def texts_within(value: Any) -> str:
    """The names and texts within a JSON value, a line each."""
    if isinstance(value, dict):
        return "\n".join(part for name, member in value.items() for part in (name, texts_within(member)))
    if isinstance(value, list):
        return "\n".join(map(texts_within, value))
    return value if isinstance(value, str) else ""


def elements_of(payload: Any, options: Options) -> list[Any]:  # rules 1.3
    """The payloads of a record: itself, or its elements, or the envelopes of the elements of an array in its body."""
    is_request = isinstance(payload, dict) and (is_envelope(payload) or collect_addresses(payload))
    body = payload.get("body") if is_request else payload
    if options.array_bodies == "records" and is_request and isinstance(body, str) and not isinstance(body, Number):
        try:
            body = parse_json(body.removeprefix("\ufeff"))
        except ValueError:
            return [payload]
    if options.array_bodies != "records" or not isinstance(body, list) or not body:
        return [payload]
    readable = [element if isinstance(element, dict) else [] for element in body]
    return [{**payload, "body": element} for element in readable] if is_request else readable


def read_json_line(record_no: int, line: bytes, options: Options) -> list[Request | Rejected | Skip]:
    try:
        payload = parse_json(utf8(line))
    except ValueError:
        return [Rejected(Origin(record_no), ["malformed_record"])]
    return [read_payload(i, one, options) for i, one in enumerate(elements_of(payload, options), record_no)]


def read_lines(data: bytes, kind: str, options: Options) -> Iterator[Request | Rejected | Skip]:
    lines = data.split(b"\n")
    record_no = 1
    for line in lines[:-1] if not lines[-1] else lines:
        line = re.sub(rb"\A(?:\0|\xef\xbb\xbf)+|[\0\r]+\Z", b"", line)  # noqa: PLW2901  # rules 1.3c
        if not trim(utf8(line)):
            found: list[Request | Rejected | Skip] = [Skip("blank")]  # rules 1.1
        elif line.startswith(b"#"):
            found = [Skip("comment")]
        elif kind == "log":
            found = [read_log_line(record_no, line, options)]
        else:
            found = read_json_line(record_no, line, options)
        yield from found
        record_no += len(found)


def read_records(data: bytes, kind: str, options: Options) -> Iterator[Request | Rejected | Skip]:
    if kind != "json":
        yield from read_lines(data, kind, options)
        return
    try:
        elements = parse_json(utf8(data), deepest=501)
    except ValueError:
        elements = None
    if not isinstance(elements, list):
        yield Rejected(Origin(1), ["malformed_record"])
        return
    payloads = (one for element in elements for one in elements_of(element, options))
    for record_no, payload in enumerate(payloads, 1):
        yield read_payload(record_no, payload, options)


# --- names --------------------------------------------------------------------------------------------------

BRACKETS: Final = re.compile(r"([^\[\]]+)\[([0-9]*)\](?:\[([^\[\]]+)\])?")


@cache
def core_fields_of(name: str, email_identity: str) -> tuple[str, ...]:  # rules 2.2, 2.5
    """The core fields that a parameter of this name could fill."""
    if email_identity == "exact":
        return tuple(f for f, names in CORE_FOLDS.items() if (name == f if f == "email" else fold(name) in names))
    return tuple(field for field, names in CORE_FOLDS.items() if fold(name) in names)


def core_params(params: list[Param], field: str, options: Options) -> list[Param]:  # rules 2.2
    """The scalar parameters that could fill a core field, the winner first."""
    identity = options.email_identity
    could = [p for p in params if field in core_fields_of(p.name, identity) and not is_structured(p.value)]
    if options.alias_order == "listed":
        could.sort(key=lambda p: CORE_FOLDS[field].index(fold(p.name)))
    return could


def exact_params(params: list[Param], names: Iterable[str]) -> list[Param]:  # rules 2.4, 7.1
    return [p for name in names for p in params if p.name == name and not is_structured(p.value)]


def is_bracket_key(param: Param) -> bool:  # rules 8.1
    found = BRACKETS.fullmatch(param.name) if param.flat else None
    return found is not None and fold(found[1]) in ITEM_ARRAY_FOLDS


def is_absent_field(param: Param) -> bool:  # rules 1.5
    found = BRACKETS.fullmatch(param.name)
    return found is not None and found[3] is not None and is_structured(param.value)


def is_passthrough(name: str) -> bool:  # rules 7.4
    return name.startswith("xat_") and len(name) > len("xat_")


def is_named_field(name: str, options: Options) -> bool:
    return name in EXACT_NAMES or core_fields_of(name, options.email_identity) != ()


def is_recognised(param: Param, options: Options) -> bool:  # rules 2.6
    named = is_named_field(param.name, options) or fold(param.name) in ITEM_ARRAY_FOLDS
    return named or is_passthrough(param.name) or is_bracket_key(param)


def one_edit_apart(left: str, right: str) -> bool:
    short, long = sorted((left, right), key=len)
    if len(long) - len(short) > 1 or left == right:
        return False
    at = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    return short[at + 1 :] == long[at + 1 :] or short[at:] == long[at + 1 :]


@cache
def is_near_miss(name: str, options: Options) -> bool:  # rules 2.6
    if name.startswith("amp;"):
        meant = Param(re.sub("^(amp;)+", "", name), "", flat=True)
        if is_recognised(meant, options):
            return True
    folded = fold(name)
    if folded in map(fold, EXACT_NAMES):
        return True
    pairs = [(folded, fold(known)) for known in KNOWN_NAMES if known not in EXACT_NAMES or known == "email"]
    pairs += [(name, known) for known in EXACT_NAMES]
    return any(len(known) >= 5 and one_edit_apart(sent, known) for sent, known in pairs)


def swallowed_names(text: str, options: Options) -> list[tuple[int, str]]:  # rules 2.7
    """(where its separator stood, name) of every parameter that a value swallowed."""
    found = []
    for equals in (at for at, c in enumerate(text) if c == "="):
        start = equals
        while start and text[start - 1] in LETTERS | {"-"} and equals - start < 40:
            start -= 1
        name = text[start:equals]
        left = (
            re.sub("(amp;)+$", "", text[:start])
            if re.search("[?;](amp;)+$|&amp;(amp;)+$", text[:start])
            else text[:start]
        )
        if left.endswith("&amp;"):
            at = len(left) - 5
        elif left.endswith(("?", ";")):
            at = len(left) - 1
        else:
            at = len(left) - 1
            eaten = [
                e for e, c in html.entities.html5.items() if c == left[-1:] and not e.endswith(";") and c not in '&<>"'
            ]
            name = next((e + name for e in sorted(eaten) if is_named_field(e + name, options)), "") if name else ""
        if name and is_named_field(name, options):
            found.append((at, name))
    return found


# --- rulings on a request -----------------------------------------------------------------------------------

MACROS: Final = (
    ("{", "}"), ("{{", "}}"), ("{{{", "}}}"), ("[", "]"), ("[[", "]]"), ("[[[", "]]]"), ("<", ">"), ("<%=", "%>"),
    ("${", "}"), ("%", "%"), ("%%", "%%"), ("__", "__"), ("!", "!"), ("!!", "!!"), ("!!!", "!!!"), ("--", "--"),
    ("#", "#"), ("##", "##"), ("*|", "|*"), ("$$", "$$"), ("@@", "@@"),
)  # fmt: skip
HALF_MACROS: Final = tuple(
    half
    for left, right in (("{", "}"), ("{{", "}}"), ("${", "}"), ("[", "]"), ("[[", "]]"), ("<", ">"))
    for half in ((left, ""), ("", right))
)
NULL_WORDS: Final = ("null", "undefined", "none", "nil", "nan", "n/a", "na", "-", "[object object]")
NULL_IDS: Final = (*NULL_WORDS, "0", "false", "unknown")
TEST_VALUES: Final = ("test", "testing", "demo", "test123")
MANUAL_WORDS: Final = {
    before + word + behind
    for word in ["CLICK_ID", "CLICKID", "REF_ID", "REFID", "TRANSACTION_ID", "TRANSACTIONID", "ORDER_ID", "ORDERID"]
    for before in ("", "YOUR_")
    for behind in ("", "_HERE")
} | {"REPLACE_ME", "REPLACE_THIS", "CHANGE_ME", "CHANGEME", "PLACEHOLDER"}
LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def is_macro_name(name: str, marks: str) -> bool:  # rules 3.2
    if "  " in name:
        return False
    bare = name.removeprefix(" ").removesuffix(" ")
    return bare[:1] in LETTERS | {"$"} and bare != "" and all(c in LETTERS or c in marks for c in bare)


def is_macro(text: str) -> bool:  # rules 3.2
    if is_null_word(text):
        return False
    plain = trim(text)
    for form in (plain, utf8(percent_decode(plain.encode()))):
        for macros, marks in ((MACROS, " .-|$[]"), (HALF_MACROS, " .-|$")):
            for left, right in macros:
                inner = form[len(left) : len(form) - len(right)]
                if form == left + inner + right and is_macro_name(inner, marks):
                    return True
    return False


def is_null_word(text: str) -> bool:  # rules 3.2
    return ascii_lower(trim(text)) in NULL_WORDS


def is_junk_id(text: str) -> bool:  # rules 3.2, 6.3
    return is_macro(text) or trim(text) in MANUAL_WORDS or ascii_lower(trim(text)) in NULL_IDS


def id_issues(text: str) -> Iterator[str]:  # rules 3.2
    if trim(text) in MANUAL_WORDS:
        yield "placeholder_word"
    if ascii_lower(trim(text)) in NULL_IDS:
        yield "null_word"
    elif re.search("%[0-9A-Fa-f]{2}", text) and not is_macro(text):
        yield "double_encoded"


def is_unusable(text: str, kind: str, null_words: tuple[str, ...]) -> bool:  # rules 3.2
    if is_macro(text) or ascii_lower(trim(text)) in null_words or prehash(text):
        return False
    if kind == "phone":
        return sum(c in "0123456789" for c in text) < 7
    local, at, domain = trim(text).rpartition("@")
    return not (local and at and domain) or any(c in WHITE_SPACE for c in trim(text))


def junk_issues(core: dict[str, str], others: dict[str, str], match_key: str) -> Iterator[str]:  # rules 3.2
    if any(map(is_macro, (*core.values(), *others.values()))):
        yield "unresolved_macro"
    for text in (match_key, core.get("transaction_id", match_key)):
        yield from id_issues(text)
    if ascii_lower(trim(match_key)) in TEST_VALUES:
        yield "test_value"
    traits = {name: text for name, text in others.items() if name != "conversion_type"}
    if any(map(is_null_word, traits.values())):
        yield "null_word"
    unused = {"full_name"} if traits.keys() & {"first_name", "last_name"} else set()
    used = [*core.values(), *(text for name, text in others.items() if name not in unused)]
    if any("\ufffd" in text for text in used):
        yield "undecodable_text"
    emails = [(core.get("email"), NULL_IDS), (traits.get("email"), NULL_WORDS)]
    if any(text is not None and is_unusable(text, "email", words) for text, words in emails):
        yield "unusable_email"
    if "phone" in traits and is_unusable(traits["phone"], "phone", NULL_WORDS):
        yield "unusable_phone"


def is_hashable(trait: str, text: str) -> bool:  # rules 3.2
    junk = is_macro(text) or is_null_word(text) or "\ufffd" in text
    return not junk and not (trait in {"email", "phone"} and is_unusable(text, trait, NULL_WORDS))


def name_issues(params: list[Param], options: Options) -> Iterator[str]:
    groups = [core_params(params, field, options) for field in CORE]
    groups += [exact_params(params, names) for names in (*TRAITS.values(), ("conversion_type",))]
    if any(len({param.value for param in group}) > 1 for group in groups):
        yield "alias_conflict"  # rules 2.3
    if any(is_structured(param.value) and is_named_field(param.name, options) for param in params):
        yield "not_scalar"  # rules 1.5
    if any(not is_recognised(param, options) and is_near_miss(param.name, options) for param in params):
        yield "near_miss_name"  # rules 2.6


@cache
def active_currencies() -> frozenset[str]:
    return frozenset(currency.code for currency in iso4217.Currency)


def read_currency(sent: str | None, options: Options) -> tuple[str | None, str | None]:  # rules 4.3
    """(currency, issue)."""
    if sent is None:
        return options.default_currency, None
    if not re.fullmatch("[A-Za-z]{3}", trim(sent)):
        return sent, "invalid_currency"
    code = trim(sent).upper()
    return code, None if code in active_currencies() else "unknown_currency"


def standard_event(conversion_type: str, options: Options) -> str | None:  # rules 5.2
    text = trim(conversion_type) if options.conversion_type_match == "trimmed" else conversion_type
    return next((event for event, names in EVENTS.items() if ascii_lower(text) in names), None)


def has_positive_commission(params: list[Param]) -> bool:  # rules 5.3
    texts = [p.value for p in params if fold(p.name) == "commission" and not is_structured(p.value)]
    return any(number and number.digits and not number.negative for number in map(parse_number, texts))


def decide_event(
    event_name: str | None, conversion_type: str | None, params: list[Param], options: Options
) -> tuple[str | None, str]:  # rules 5
    """(event, rule); no event means an unknown conversion_type."""
    if event_name is not None:
        return trim(event_name), "event_name"
    if conversion_type is not None:
        return standard_event(conversion_type, options), "conversion_type"
    if has_positive_commission(params):
        return "Purchase", "automatic_commission"
    return "Lead", "automatic_lead"


# --- items and passthroughs ---------------------------------------------------------------------------------


class Array(NamedTuple):
    """An item candidate as read: positions with their objects (None: not an object)."""

    elements: list[tuple[int, dict[str, Any] | None]]
    malformed: bool = False


def native_array(value: Any) -> Array:  # rules 8.1, 8.3
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError:
            value = None
    if isinstance(value, dict):
        return Array([(0, value)], malformed=True)
    if not isinstance(value, list):
        return Array([], malformed=True)
    return Array([(at, one if isinstance(one, dict) else None) for at, one in enumerate(value)])


def bracket_array(params: list[Param]) -> Array:  # rules 8.1
    elements: list[tuple[int, dict[str, Any] | None]] = []
    numbered: dict[int, dict[str, Any]] = {}
    current: dict[str, Any] | None = None
    for param in params:
        _, index, field = BRACKETS.fullmatch(param.name).groups()  # type: ignore[union-attr]
        at = int(index.lstrip("0")[:11] or 0) if index else max((one[0] for one in elements), default=-1) + 1
        if field is None:
            elements.append((at, None))
            current = None
        elif index:
            if at not in numbered:
                numbered[at] = {}
                elements.append((at, numbered[at]))
            numbered[at].setdefault(fold(field), param.value)
        else:
            if current is None or fold(field) in current:
                current = numbered[at] = {}
                elements.append((at, current))
            current[fold(field)] = param.value
    return Array([(at, one if at < 2**31 else None) for at, one in sorted(elements, key=lambda one: one[0])])


def item_candidates(params: list[Param]) -> Iterator[Array]:  # rules 8.1
    for base in ITEM_ARRAY_FOLDS:
        brackets = [p for p in params if is_bracket_key(p) and fold(p.name.partition("[")[0]) == base]
        brackets = [p for p in brackets if not is_absent_field(p)]
        plain = next((p for p in params if fold(p.name) == base), None)  # rules 2.2
        for param in params:
            if param is plain:
                yield native_array(param.value)
            elif brackets and param is brackets[0]:
                yield bracket_array(brackets)


def item_text(element: dict[str, Any], field: str) -> str | None:  # rules 8.1
    for alias in dict.fromkeys(map(fold, ITEM_FIELDS[field])):
        for name, value in element.items():
            if fold(name) == alias and not is_structured(value) and not is_empty(value):
                return scalar_text(value)
    return None


def read_item(position: int, element: dict[str, Any], issues: set[str]) -> dict[str, Any]:
    item: dict[str, Any] = {"position": position}
    item |= {field: item_text(element, field) for field in ITEM_FIELDS}
    for field in ("price", "quantity"):  # rules 8.2
        if (text := item[field]) is not None:
            item[field] = decimal_38_9(parse_number(text))
            if item[field] is None:
                issues.add(f"invalid_item_{field}")
    return item


def read_items(params: list[Param], value: Decimal | None, issues: set[str]) -> list[dict[str, Any]]:
    chosen = Array([])  # rules 8.1, 8.3
    for array in item_candidates(params):
        if array.malformed:
            issues.add("malformed_items")
        if array.elements:
            chosen = array
            break
    if any(element is None for _, element in chosen.elements):
        issues.add("malformed_items")
    items = [read_item(at, element, issues) for at, element in chosen.elements if element is not None]
    if value is not None and total_differs(items, value):
        issues.add("items_total_mismatch")
    return items


def total_differs(items: list[dict[str, Any]], value: Decimal) -> bool:  # rules 8.4
    if not items or any(item[field] is None for item in items for field in ("price", "quantity")):
        return False
    room, total = Context(prec=200), Decimal(0)
    for item in items:
        total = room.fma(item["price"], item["quantity"], total)
    return room.subtract(total, value).copy_abs() > Decimal("0.01")


def read_passthroughs(params: list[Param]) -> list[dict[str, Any]]:  # rules 7.4
    kept: dict[str, str] = {}
    for param in params:
        if is_passthrough(param.name):
            value = compact_json(param.value) if is_structured(param.value) else param.value
            kept.setdefault(param.name.removeprefix("xat_"), value)
    return [
        {"position": position, "name": name, "value": value, "stored": position < 5}
        for position, (name, value) in enumerate(kept.items())
    ]


# --- traits and personal data -------------------------------------------------------------------------------


def split_full_name(full_name: str) -> tuple[str | None, str | None]:  # rules 7.2
    """(first, last)."""
    words = [word for word in re.split(f"[{WHITE_SPACE}]+", full_name) if word]
    name = " ".join(words)
    if name.count(",") == 1:
        last, first = (trim(side) or None for side in name.split(","))
        return first, last
    return words[0], " ".join(words[1:]) or None


def read_traits(params: list[Param]) -> tuple[dict[str, str | None], str | None, bool]:  # rules 7.1-7.3
    """(traits with the names filled, name_rule, whether a winner is prehashed)."""
    winners = {trait: first_value(exact_params(params, names)) for trait, names in TRAITS.items()}
    prehashed = any(prehash(text) for text in winners.values() if text is not None)
    full_name = winners.pop("full_name")
    rule = "parts"
    if full_name is not None and winners["first_name"] is None and winners["last_name"] is None:
        rule = "full_name"
        winners["first_name"], winners["last_name"] = split_full_name(full_name)
    named = winners["first_name"] is not None or winners["last_name"] is not None
    return winners, rule if named else None, prehashed


def first_value(could: list[Param]) -> str | None:
    return could[0].value if could else None


def prehash(text: str) -> str | None:  # rules 7.3
    found = re.fullmatch("[0-9A-Fa-f]{64}|[0-9A-Fa-f]{32}", trim(text))
    return found[0].lower() if found else None


def without_punctuation(text: str) -> str:
    return "".join(c for c in text.lower() if not unicodedata.category(c).startswith("P"))


def without_blanks(text: str) -> str:
    return re.sub(f"[{WHITE_SPACE}]", "", text)


def normal_email(text: str) -> str:  # rules 9.2
    return trim(text).lower()


def normal_google_email(text: str) -> str:  # rules 9.2
    local, at, domain = normal_email(text).rpartition("@")
    if at and domain in {"gmail.com", "googlemail.com"}:
        local = local.partition("+")[0].replace(".", "")
    return local + at + domain


def normal_phone(text: str) -> str:  # rules 9.2
    text = trim(text)
    trunk = re.match(r"(?:\+|00)([0-9]{1,3})[-. ](0+)", text)
    if trunk and trunk[1] != "39":
        text = trunk[1] + text[trunk.end() :]
    return re.sub("[^0-9]", "", text).lstrip("0")


def normal_e164(text: str) -> str:  # rules 9.2
    digits = normal_phone(text)
    return "+" + digits if digits else ""


def normal_name(text: str) -> str:  # rules 9.2
    return trim(without_punctuation(text))


def normal_city(text: str) -> str:  # rules 9.2
    return without_blanks(without_punctuation(text))


def normal_birthdate(text: str) -> str:  # rules 9.2
    text = trim(text)
    year_first = re.fullmatch("([0-9]{4})(-|/|)([0-9]{2})\\2([0-9]{2})", text)
    year_last = re.fullmatch("([0-9]{1,2})([/.])([0-9]{1,2})\\2([0-9]{4})", text)
    if year_first:
        year, month, day = int(year_first[1]), int(year_first[3]), int(year_first[4])
    elif year_last:
        year, month, day = int(year_last[4]), int(year_last[1]), int(year_last[3])
        if month > 12 or year_last[2] == ".":
            month, day = day, month
    else:
        return ""
    try:
        return date(year, month, day).isoformat().replace("-", "")
    except ValueError:
        return ""


@cache
def countries() -> dict[str, str]:
    names = ("alpha_2", "alpha_3", "name", "official_name", "common_name")
    return {
        getattr(country, name).lower(): country.alpha_2.lower()
        for name in reversed(names)
        for country in pycountry.countries
        if hasattr(country, name)
    }


def normal_country(text: str) -> str:  # rules 9.2
    plain = trim(text).lower()
    return countries().get(plain, plain)


@cache
def us_states() -> dict[str, str]:
    states: Iterable[Any] = pycountry.subdivisions.get(country_code="US")  # type: ignore[no-untyped-call]
    return {normal_city(state.name): state.code.removeprefix("US-").lower() for state in states}


def normal_state(text: str, country: str | None) -> str:  # rules 9.2
    state = normal_city(text)
    return us_states().get(state, state) if country == "us" else state


def normal_zipcode(text: str, country: str | None) -> str:  # rules 9.2
    zipcode = without_blanks(text.lower()).replace("-", "")
    return zipcode[:5] if country == "us" else zipcode


def hashed(text: str | None, normal: Callable[[str], str]) -> str | None:
    if text is None or (already := prehash(text)):
        return None if text is None else already
    form = normal(text)
    return hashlib.sha256(form.encode()).hexdigest() if form else None


def hash_columns(traits: dict[str, str | None]) -> dict[str, str | None]:  # rules 9.2
    country = normal_country(traits["country"]) if traits["country"] is not None else None
    rules: tuple[tuple[str, str, Callable[[str], str]], ...] = (
        ("email_sha256", "email", normal_email),
        ("email_google_sha256", "email", normal_google_email),
        ("phone_sha256", "phone", normal_phone),
        ("phone_e164_sha256", "phone", normal_e164),
        ("first_name_sha256", "first_name", normal_name),
        ("last_name_sha256", "last_name", normal_name),
        ("birthdate_sha256", "birthdate", normal_birthdate),
        ("city_sha256", "city", normal_city),
        ("state_sha256", "state", lambda text: normal_state(text, country)),
        ("zipcode_sha256", "zipcode", lambda text: normal_zipcode(text, country)),
        ("country_sha256", "country", normal_country),
    )
    return {column: hashed(traits[trait], normal) for column, trait, normal in rules}


def shown_match_key(match_type: str, match_key: str, options: Options) -> str | None:  # rules 9.3
    if match_type != "email" or options.pii == "keep":
        return match_key
    return hashed(match_key, normal_email) if options.pii == "hash" else None


ADDRESS: Final = re.compile(
    r"(?<![\w.+'’-])(?P<before>(?:\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrtbfv]))?[.'’-]*)"
    r"(?P<address>[\w+][\w.+'’-]*(?:@|\\u0040|\\x40)([\w-]+\.)+(xn--[\w-]+|[^\W\d_]{2,}))"
)
SENT: Final = (
    "account_id", "integration", "match_key", "match_param", "click_id", "ref_id", "event", "conversion_type",
    "value_param", "currency", "transaction_id", "brand_name", "country", "user_agent", "item_id", "name", "variant",
)  # fmt: skip


def hidden(value: Any) -> Any:  # rules 9.1
    """A text, or a value of JSON, with hashes in the place of e-mail addresses."""
    if isinstance(value, dict):
        return {hidden_plain(name): hidden(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [hidden(inner) for inner in value]
    if not isinstance(value, str) or isinstance(value, Number):
        return value
    if re.match(r'\s*(\{|\[|"\{|"\[)', value):
        try:
            read = parse_json(value)
        except ValueError:
            return hidden_plain(value)
        return value if hidden(read) == read else compact_json(hidden(read))
    return hidden_plain(value)


def hidden_plain(text: str) -> str:
    """The same in a text that is no JSON: percent-encoded words are decoded, and encoded again where they hold one."""

    def word(found: re.Match[str]) -> str:
        plain = utf8(percent_decode(found[0].encode()))
        clean = hidden(plain)
        return found[0] if clean == plain else quote(clean).replace("sha256%3A", "sha256:")

    def address(found: re.Match[str]) -> str:
        sign = re.sub(r"\\u0040|\\x40", "@", found["address"])
        digest = hashed(sign, normal_email) if is_hashable("email", sign) else None
        return found["before"] + (f"sha256:{digest}" if digest else "redacted")

    text = re.sub(r"[^\s&=?#\"'<>]*%(?:25)*40[^\s&=?#\"'<>]*", word, text)
    return ADDRESS.sub(address, text)


def shown(row: dict[str, Any], options: Options) -> dict[str, Any]:  # rules 9.1
    """A row as the tables show it."""
    if options.pii == "keep":
        return row
    clean = {
        name: hidden(value) for name, value in row.items() if name in SENT or (name, type(value)) == ("value", str)
    }
    if options.pii == "drop":
        clean = {name: value if value == row[name] else None for name, value in clean.items()}
    return row | clean


# --- from a request to a row --------------------------------------------------------------------------------


def judge(request: Request, options: Options) -> Candidate | Rejected:
    params, origin = request.params, request.origin
    could = {field: core_params(params, field, options) for field in CORE}
    core = {field: winners[0] for field, winners in could.items() if winners}
    text = {field: param.value for field, param in core.items()}
    conversion_type = first_value(exact_params(params, ("conversion_type",)))
    event, event_rule = decide_event(text.get("event_name"), conversion_type, params, options)
    match_type = next((field for field in ("click_id", "ref_id", "email") if field in core), None)  # 3.1
    reasons = ["missing_identity"] * (match_type is None) + ["unknown_conversion_type"] * (event is None)
    if match_type is None and HELD.search(request.bare_text):
        return Rejected(origin, ["unread_postback"])  # rules 1.3d
    if match_type is None or event is None:
        return Rejected(origin, reasons)  # rules 5.4

    others = {} if conversion_type is None else {"conversion_type": conversion_type}
    others |= {trait: found[0].value for trait, names in TRAITS.items() if (found := exact_params(params, names))}
    issues = set(name_issues(params, options)) | set(junk_issues(text, others, text[match_type]))
    if any(swallowed_names(sent, options) for sent in (*text.values(), *others.values())):
        issues.add("lost_separator")  # rules 2.7
    money = judge_value(core.get("value"), event_rule, issues, options)
    currency, currency_issue = read_currency(text.get("currency"), options)
    said, shared = money.pop("said")
    money["currency_repaired"] = currency_repaired(said, shared, currency)
    if None not in {currency, money["currency_repaired"]} and currency != money["currency_repaired"]:
        issues.add("currency_in_value")  # rules 4.1
    issues |= {currency_issue} if currency_issue else set()
    times = judge_time(text.get("timestamp"), origin.received_at, issues)
    traits, name_rule, prehashed = read_traits(params)
    issues |= {"prehashed_trait"} if prehashed else set()
    items = read_items(params, money["value"], issues)
    passthroughs = read_passthroughs(params)
    issues |= {"passthrough_dropped"} if len(passthroughs) > 5 else set()  # rules 7.4

    unhashed = {trait for trait, sent in others.items() if not is_hashable(trait, sent)}
    if name_rule == "full_name" and "full_name" in unhashed:
        unhashed |= {"first_name", "last_name"}  # rules 3.2
    hashes = hash_columns({trait: None if trait in unhashed else sent for trait, sent in traits.items()})
    row = origin._asdict() | times | money | {
        "match_type": match_type,
        "match_key": shown_match_key(match_type, text[match_type], options),
        "match_param": core[match_type].name,
        "click_id": text.get("click_id"),
        "ref_id": text.get("ref_id"),
        "event": event,
        "event_rule": event_rule,
        "conversion_type": conversion_type,
        "currency": currency,
        "currency_defaulted": "currency" not in text,
        "transaction_id": text.get("transaction_id"),
        "brand_name": text.get("brand_name"),
        **{trait: traits[trait] if options.pii == "keep" else None for trait in PERSONAL},
        "country": traits["country"],
        "name_rule": name_rule,
        **{column: None if options.pii == "drop" else digest for column, digest in hashes.items()},
        "item_count": len(items),
        "passthrough_count": len(passthroughs),
        "issues": sorted(issues),
    }  # fmt: skip
    return Candidate(row, items, passthroughs, text[match_type], dedup_key(row, options))


def judge_value(param: Param | None, event_rule: str, issues: set[str], options: Options) -> dict[str, Any]:  # 4.1, 4.2
    value = decimal_38_9(parse_number(param.value)) if param else None
    invalid = param is not None and value is None
    if invalid:
        issues.add("invalid_value")
    if value is not None and value < 0:
        issues.add("negative_value")
    repaired, *said = repair_value(param.value) if param and invalid else (None, None, None)
    if param and invalid and (swallowed := swallowed_names(param.value, options)):  # rules 2.7
        before = param.value[: swallowed[0][0]]
        repaired, said = decimal_38_9(parse_number(before)), [None, None]
        repaired = repair_value(before)[0] if repaired is None else repaired
    if event_rule == "automatic_lead" and (value or repaired or 0) > 0:
        issues.add("lead_by_default")  # rules 5.3
    return {
        "value": value,
        "value_param": param.name if param else None,
        "value_repaired": repaired,
        "said": said,
    }


def judge_time(text: str | None, received_at: datetime | None, issues: set[str]) -> dict[str, Any]:
    # rules 6.2, 6.1
    occurred_at, meant, issue = read_timestamp(text) if text is not None else (None, None, None)
    issues |= {issue} if issue else set()
    if occurred_at and received_at and occurred_at - received_at > timedelta(days=1):
        issues.add("future_timestamp")
    return {
        "occurred_at": occurred_at or received_at,
        "occurred_at_rule": "parameter" if occurred_at else "received",
        "occurred_at_repaired": meant,
    }


# --- duplicates ---------------------------------------------------------------------------------------------


def dedup_key(row: dict[str, Any], options: Options) -> tuple[str | None, ...] | None:  # rules 6.3
    sent = row["transaction_id"]
    if options.dedup_scope == "off" or sent is None or is_junk_id(sent):
        return None
    event = row["event"] if options.dedup_scope == "event" else None
    return row["account_id"], row["integration"], event, trim(sent)


def winner_order(candidate: Candidate) -> tuple[bool, datetime, int]:  # rules 6.3
    received_at = candidate.row["received_at"]
    return received_at is None, received_at or EPOCH, candidate.row["record_no"]


def within(window: timedelta | None, winner: Candidate, later: Candidate) -> bool:  # rules 6.3
    first, second = winner.row["received_at"], later.row["received_at"]
    return window is None or first is None or second is None or second - first <= window


def find_duplicates(candidates: list[Candidate], options: Options) -> dict[int, Candidate]:  # rules 6.3
    """record_no of every duplicate -> its winner."""
    winners: dict[tuple[str | None, ...], Candidate] = {}
    duplicates: dict[int, Candidate] = {}
    for candidate in sorted(candidates, key=winner_order):
        if candidate.dedup_key is None:
            continue
        winner = winners.get(candidate.dedup_key)
        if winner is not None and within(options.dedup_window, winner, candidate):
            duplicates[candidate.row["record_no"]] = winner
        else:
            winners[candidate.dedup_key] = candidate
    return duplicates


def duplicate_kind(duplicate: Candidate, winner: Candidate) -> str:  # rules 6.3
    told = [(one.row["value"], one.row["currency"], one.raw_match_key) for one in (duplicate, winner)]
    return "identical" if told[0] == told[1] else "conflicting"


def rejection(origin: Origin, reasons: list[str], duplicate_of: int | None, kind: str | None) -> dict[str, Any]:
    shown = ("record_no", "account_id", "integration", "received_at", "http_method", "http_status")
    return {name: getattr(origin, name) for name in shown} | {
        "reason": reasons[0],
        "reasons": reasons,
        "message": MESSAGES.get(reasons[0]),
        "duplicate_of": duplicate_of,
        "duplicate_kind": kind,
    }


def run(data: bytes, kind: str, options: Options = Options()) -> Result:  # noqa: B008
    """What every record of `data` becomes. Never raises on any bytes.

    Args:
        data: The whole input.
        kind: `log` (the common and combined family), `jsonl`, or `json` (one array).
        options: The switches.
    """
    candidates: list[Candidate] = []
    rejections: list[dict[str, Any]] = []
    skipped: Counter[str] = Counter()
    unrecognised: Counter[str] = Counter()
    for record in read_records(data, kind, options):
        if isinstance(record, Skip):
            skipped[record.reason] += 1
            continue
        outcome: Candidate | Rejected
        if isinstance(record, Request):
            request = record._replace(params=[p for p in record.params if not is_empty(p.value)])
            unrecognised.update(p.name for p in request.params if not is_recognised(p, options))
            outcome = judge(request, options)
        else:
            outcome = record
        if isinstance(outcome, Rejected):
            rejections.append(rejection(outcome.origin, outcome.reasons, None, None))
        else:
            candidates.append(outcome)

    duplicates = find_duplicates(candidates, options)
    result = Result([], [], [], rejections, dict(skipped), dict(unrecognised))
    for candidate in candidates:
        record_no = candidate.row["record_no"]
        if winner := duplicates.get(record_no):
            origin = Origin(**{name: candidate.row[name] for name in Origin._fields})
            found = duplicate_kind(candidate, winner)
            rejections.append(rejection(origin, ["duplicate_transaction"], winner.row["record_no"], found))
            continue
        result.conversions.append(candidate.row)
        result.items.extend({"record_no": record_no} | item for item in candidate.items)
        result.passthroughs.extend({"record_no": record_no} | one for one in candidate.passthroughs)
    rejections.sort(key=lambda one: one["record_no"])
    tables = (result.conversions, result.items, result.passthroughs, rejections)
    names: Counter[str] = Counter()
    for name, count in unrecognised.items():
        clean = shown({"name": name}, options)["name"]
        names["redacted" if clean is None else clean] += count
    return Result(*([shown(row, options) for row in table] for table in tables), dict(skipped), dict(names))
