"""Seeded adversarial input: logs and JSON dumps that aim at every ruling of the rules.

The same seed gives the same bytes. Addresses are example.com (for Google's mailbox rule the published samples
of the platforms' own documents) and the address ranges that are reserved for documentation.
"""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

BASE: Final = datetime(2024, 5, 1, tzinfo=UTC)
BASE_SECONDS: Final = int(BASE.timestamp())

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
ITEM_NAMES: Final = (
    "id", "product_id", "item_id", "name", "title", "label", "product_name", "item_name", "variant",
    "variant_id",
    "product_variant", "item_variant", "price", "product_price", "item_price", "qty", "quantity",
    "product_quantity", "item_quantity",
)  # fmt: skip
MACRO_STYLES: Final = (
    "{%s}", "{{%s}}", "[%s]", "[[%s]]", "${%s}", "%%%s%%", "%%%%%s%%%%", "<%s>", "__%s__", "!!!%s!!!",
    "--%s--",
    "{{ %s }}", "{{{%s}}}", "[[[%s]]]", "<%%= %s %%>", "{$%s}", "!%s!", "!!%s!!", "*|%s|*", "$$%s$$", "@@%s@@", "[%s",
    "%s]", "%s]]", "<%s", "%s>", "${%s", "%s}}",
    "#%s#", "##%s##", "{%s", "%s}", "x{%s}", "{%s}x", "{%s} ", "{{%s}", "#%s", "({%s})", "{%s}{%s}",
)  # fmt: skip
MACRO_WORDS: Final = (
    "clickid", "CLICKID", "click.id", "click-id", "CLICK_ID", "aff_sub", "x", "X", "s2", "a:b", "1x", "",
    "a b",
    "é", "null", "_x", "DEADBEEF", "abc", "1.order_id", "order[id]", "a  b", "x|y", "object Object",
)  # fmt: skip
NULL_WORDS: Final = (
    "null", "NULL", "Undefined", "none", "NaN", "n/a", "N/A", "[object Object]", "[OBJECT OBJECT]", " null ",
    "nulll", "nil", "-", "0",
    "False", "unknown", "NA", "00", "ORDER_ID", "YOUR_CLICK_ID_HERE", "CHANGEME", "click_id",
    "n\u00a0a", "undefined\u3000", "ull",
)  # fmt: skip
TEST_VALUES: Final = ("test", "TEST", "testing", "demo", " Demo ", "test123", "test1234", "tests")
EMPTIES: Final = ("", " ", "   ", "\t", "\u00a0", "\u3000", "\u2003 \u00a0", "\x85", "\u2028", "\r\n")
NOT_EMPTIES: Final = ("\ufeff", "\x00", "\u200b", "\x1c", "\u180e", "\x1f")
VALUES: Final = (
    "120", "120.00", "12.5", "12.50", "0", "0.0", "-5", "+7", ".5", "5.", "1e3", "1E3", "1e+3", "1E-3",
    "1e400",
    "1e-400", "-1e-12", "0.0000000005", "0.0000000015", "0.00000000050000000000000001", "-0.0000000004",
    "1.0000000005", "1.0000000015", "99999999999999999999999999999", "100000000000000000000000000000",
    "99999999999999999999999999999.9999999994", "99999999999999999999999999999.9999999995",
    "-99999999999999999999999999999.999999999", "123456789012345678901234567890",
    "12345678901234567890.123456789",
    "0000000000000000000000000000000000000000000012.5", "0.10000000000000000000000000000000000000001", "-0",
    "-0.0",
    "1e28", "1e29", "9.99999999999999999999999999999e28", "0e999999999999", "1e99999999999999999999",
    "1e00000005",
    "-1e99999999999999999999", "1e-99999999999999999999", "100000e-5", "$12", "€12,50", "12,50 €",
    "£1,234.50",
    "1,234.50", "1.234,50", "12,50", "1 234,56", "1\u00a0234,56", "1'234.50", "1,234", "1,234,567.89",
    "1.234.567",
    "1,234,56", "USD 12", "12 EUR", "usd12.5", "-$5", "$-5", "-€5,50", "$ 12", "12$", "¥1200", "₹1,234.5",
    "1_000",
    "nan", "NaN", "inf", "Infinity", "-inf", "0x10", "１２", "١٢", "12 ", " 12", "\u00a012\u3000", "\ufeff12",
    "12\x00",
    "1e", "e5", "--5", "+-5", "- 5", "1.2.3", ".", "-", "+", "", " ", "$", "free", "12 dollars", "1e3.5",
    "1,,234",
    "1.5e2", "9.995", "true", "0.01", "-0.01", "1e-9", "5e-10", "4e-10", "−5", "(12)", "12%", "{amount}",
)  # fmt: skip
CURRENCIES: Final = (
    "USD", "usd", "Eur", " gbp ", "\u00a0jpy", "US", "USDT", "XYZ", "zzz", "$", "€", "US$", "BTC", "DEM",
    "HRK", "EUR",
    "UЅD", "us\u212a", "{currency}", "null", "u s d", "123", "US1", "USD.", "ＵＳＤ", "", " ", "CHF", "DKK",
    "XAU", "ﬀa",
)  # fmt: skip
CONVERSION_TYPES: Final = (
    "click", "outbound_click", "outboundclick", "form_submit", "formsubmit", "lead", "cpl", "registration",
    "complete_registration", "completeregistration", "acquisition", "cpa", "purchase", "sale", "cps",
)  # fmt: skip
ODD_TYPES: Final = (
    "purchase ", " lead", "\u00a0sale", "purchas", "purchased", "sales", "complete-registration",
    "Complete Registration",
    "clic\u212a", "\u017fale", "refund", "cpv", "null", "{conversion_type}", "%7Btype%7D", "formsubmıt",
    "sale\x00",
    "", " ", "purchase\ufeff", "outbound-click", "1",
)  # fmt: skip
EVENT_NAMES: Final = (
    "Deposit", " Trial Start ", "Purchase", "purchase", "\u00a0Spaced\u3000", "Ünï\u00a0cödé", "a,b;c",
    "{event}", "", "  ",
    "\ufeff", "Lead", "0", "false", "Deposit",
)  # fmt: skip
BRANDS: Final = (
    "Acme",
    " Acme ",
    "Brand & Co",
    "ブランド",
    "{brand}",
    "null",
    "a=b",
    "100%",
    "C++",
    "%41",
    "",
    "\x00",
    '"q"',
    "b\\s",
)
TIMESTAMPS: Final = (
    "946684800", "946684799", "946684799.999999", "4102444800", "4102444801", "4102444799.9999999",
    "4102444800.0",
    "1714521600", "1714521600.123456", "1714521600.123456789", "1714521600.0000009", "01714521600",
    " 1714521600 ",
    "946684800000", "946684799999", "4102444800000", "4102444800001", "1714521600123", "1714521600123.5",
    "946684800000000", "946684799999999", "4102444800000000", "4102444800000001", "1714521600123456",
    "1714521600123456789", "+1714521600", "-5", "0", "1e9", "1714521600.", ".5", "1,714,521,600",
    "１７１４５２１６００",
    "99999999999999999999999999", "2024-05-01", "2024-05-01T10:00:00Z", "2024-05-01 10:00:00",
    "2024-05-01T10:00",
    "2024-05-01T10:00:00.123456789Z", "2024-05-01T10:00:00+02:00", "2024-05-01T10:00:00-0330",
    "2024-05-01T10:00:00+14",
    "2024-05-01T10:00+05:30", "2024-02-30", "2023-02-29", "2024-02-29", "1999-12-31T23:59:59Z", "2150-01-01",
    "0000-01-01",
    "2024-13-01", "2024-00-10", "2024-05-01T24:00:00", "2024-05-01T23:60", "2024-05-01T23:59:60Z",
    "2024-05-01T10",
    "2024-05-01T10:00:00 Z", "2024-05-01T10:00:00.Z", "2024-05-01T10:00.5", "2024-05-01Z", "2024-5-1",
    "20240501",
    "2024/05/01", "01.05.2024", "May 1, 2024", "2024-05-01T10:00:00+24:00", "2024-05-01T10:00:00+10:60",
    "now", "null",
    "2024-05-01T10:00:00-23:59", "2024-05-01T10:00:00+2", "2024-05-01T10:00:00+020", "2024-05-01\u00a010:00",
    "{timestamp}",
    "2024-05-01T10:00:00z", "2024-05-01t10:00:00", "", " ", " 2024-05-01 ", "1714521600\u3000", "1970-01-01",
    "9999-12-31",
)  # fmt: skip
HEX_64: Final = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
PREHASHED: Final = (
    HEX_64,
    HEX_64.upper(),
    HEX_64[:32],
    f" {HEX_64} ",
    HEX_64[:63],
    HEX_64 + "0",
    HEX_64[:31] + "g",
    "1" * 32,
)
EMAILS: Final = (
    "ann@example.com", "Ann@Example.com", " bob@example.com ", "bob.b+tag@example.com",
    "\u00a0eve@example.com",
    "Jefferson.Loves.hiking@gmail.com", "Jefferson.LOVES.Hiking@googlemail.com",
    "cloudy.sanfrancisco+shopping@gmail.com",
    "üser@example.com", "ÜSER@EXAMPLE.COM", "a@b@example.com", "not-an-email", "null", "test", "{email}", "",
    " ",
    "%61nn@example.com", "ann%40example.com", "Ann <ann@example.com>", "x\x00@example.com", "ΑΣ@example.com",
)  # fmt: skip
TRAIT_VALUES: Final = {
    "email": EMAILS,
    "first_name": ("Ann", " ann ", "O'Brien", "Jean-Luc", "Valéry", "정", "ANN", "J.", "Mary  Ann", "-", "",
        "A\u2019B", "\ufeffAnn"),
    "last_name": ("Smith", "SMITH", "van der Berg", "O\u2019Neil", "D'Angelo-Smith", "Müller", "...", "李",
        " ", "St. John"),
    "full_name": (
        "John Smith", "Smith, John", " John   Smith ", "Smith,", ", John", ",", "Smith, John, Jr", "Cher",
        "J\u00a0S",
        "John\u3000van der Berg", "Smith ,  John Paul", "", "  ", "정 씨", "-",
    ),
    "phone": (
        "+1 (202) 555-0101", "1-800-555-0100", "+44-0447-234-2344", "0044-447-234-2344", "(447)-234-2344",
        "+44 020 7946 0000", "+49.030.555.0101", "+39 06 5555 0101", "0039-06-5555-0101", "0044 0447 2342344",
        "+44  020 7946 0000", "+440207946000", "abc", "0000", "+", "12025550101", "+٤٤-020", "", "+4400-1",
        "1" * 32,
        "00 44 20", "+1234-0555", "+44 (0) 20 7946", "202.555.0101 ext 5",
    ),
    "birthdate": (
        "1991-05-26", "19910526", "1991/05/26", "5/26/1991", "05/06/1991", "26/5/1991", "26.05.1991",
        "5.6.1991", "13.13.1991",
        "31/13/1991", "1991-02-30", "2/16/1997", "1991-5-6", "1991-05/26", "1991-05-26T00:00:00",
        "26-05-1991", " 1991-05-26 ",
        "0000-01-01", "May 26", "910526", "1991.05.26", "29/02/2023", "2/29/2024", "",
    ),
    "city": ("New York", "SÃO PAULO", "St. John's", "Zürich", "Winston-Salem", " Paris ", "東京",
        "Saint\u00a0Denis", "-", ""),
    "state": ("CA", "ca", "California", " new york ", "NEW YORK", "Île-de-France", "AZ", "N.Y.", "Bayern",
        "Texas", "XX", ""),
    "zipcode": ("94025", "94025-1234", "94035 (US)", "M1 1AE", " m1\u00a01ae ", "1229-076", "SW1A-1AA",
        "00501", "-", "", "94025 1234"),
    "country": (
        "US", "us", "USA", " usa ", "United States", "united states of america", "DE", "deu", "Germany", "GB",
        "UK", "ZZ",
        "Österreich", "france", "U.S.", "", "Bolivia", "{country}",
    ),
}  # fmt: skip
UNKNOWN_NAMES: Final = (
    "foo", "utm_source", "clickids", "clck_id", "conversiontype", "Conversion-Type", "CONVERSION_TYPE",
    "firstname", "First_Name",
    "Phone", "phon", "zip", "zip_code", "XAT_plan", "xat-plan", "Xat_plan", "xat_", "xat", "currenc",
    "curency", "curre", "valu",
    "values", "totals", "item", "itemz", "product", "lineitems_", "timestmp", "dates", "tim", "tran",
    "amp;value", "¤cy", " click_id",
    "click_id ", "click.id", "click[id]", "\ufeffclick_id", "clic\u212a_id", "items[abc]", "items[abc][id]",
    "items[-1][id]",
    "items.0.id", "e mail", "emai", "emails", "naem", "Name", "Full-Name", "evnt", "events", "", "_", "-",
    "stat", "City", "ci_ty",
    "null", "transactions", "transaction_ids", "brnd", "clickidd", "é", "sub1", "total value",
)  # fmt: skip
XAT_NAMES: Final = (
    "xat_plan",
    "xat_a",
    "xat_b",
    "xat_c",
    "xat_d",
    "xat_e",
    "xat_f",
    "xat_xat_a",
    "xat_ ",
    "xat_Plan",
    "xat_é",
    "xat__x",
)
XAT_VALUES: Final = (
    "gold",
    "1",
    "",
    " ",
    " x ",
    "{plan}",
    "null",
    "\ufeff",
    "\x00",
    "a&b=c",
    "ünï",
    '{"a":1}',
    "%41",
    "1.50",
    "\u3000",
)
AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux)",
    "-",
    "",
    "curl/8.5",
    r"a\"b",
    r"a\\b",
    r"\xC3\xBC",
    r"tab\tend",
    "ünï",
    "x [1] 'y'",
)
REFERERS: Final = (
    "-",
    "",
    "https://shop.example.com/a?b=c",
    r"https://example.com/\"x\"",
    "http://[2001:db8::1]/",
)
PREFIXES: Final = (
    "192.0.2.1 - -", "198.51.100.7 - john", "203.0.113.9 - john doe", "2001:db8::1 - -", "::1 - -", "- - -",
    "unix: - -",
    "shop.example.com 192.0.2.4 - -", "shop.example.com:443 198.51.100.8 - -", "192.0.2.5 - ann@example.com",
    "shop.example.com:80 2001:db8::2 - -", "192.0.2.6, 198.51.100.1 - -", "192.0.2.8 shop.example.com user",
)  # fmt: skip
EXTRAS: Final = (' "-"', ' "198.51.100.3"', " 0.226 - .", ' rt=0.1 "x y" -', " 512 1024", ' "a" "b" "c"')
ZONES: Final = (0, 0, 0, 0, 60, -300, 330, -210, 840, -720)
OTHER_TRAFFIC: Final = (
    "GET / HTTP/1.1", "GET /favicon.ico HTTP/1.1", "HEAD /a1/collect/shop?click_id=1 HTTP/1.1",
    "PUT /a1/collect/shop?click_id=1 HTTP/1.1",
    "get /a1/collect/shop?click_id=1 HTTP/1.1", "OPTIONS * HTTP/1.0", "GET /a1/collect HTTP/1.1",
    "GET /a1/collect/ HTTP/1.1",
    "GET //collect/shop?click_id=1 HTTP/1.1", "GET /a1/collect/shop/x?click_id=1 HTTP/1.1",
    "GET /a1/Collect/shop?click_id=1 HTTP/1.1",
    "GET /a1/collected/shop?click_id=1 HTTP/1.1", "POST /a1/collect/shop// HTTP/1.1",
    "GET /?/a1/collect/shop HTTP/1.1",
    "PATCHp /x HTTP/1.1", "CONNECT example.com:443 HTTP/1.1", "DELETE /a1/collect/shop HTTP/1.1",
    "GET a1/collect/shop?click=1 HTTP/1.1",
)  # fmt: skip
NOT_REQUESTS: Final = (
    "-", "", "hello", r"\x16\x03\x01\x02\x00\x01", r"Gh0st\xAD\x00\x00\x00", "|'|'|SGFj", "GET", r"\n",
    "?click_id=1", "M-SEARCH * HTTP/1.1",
    r"\x16\x03\x01 /a1/collect/shop?click_id=1", "1GET /a1/collect/shop?click_id=1 HTTP/1.1",
    r"\"GET / HTTP/1.1", " GET / HTTP/1.1",
)  # fmt: skip
GARBAGE_LINES: Final = (
    b"not a log line", b'192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET /a1/collect/shop?click_id=1',
    b'192.0.2.1 - - [31/Feb/2024:10:00:00 +0000] "GET /a1/collect/shop?click_id=1 HTTP/1.1" 200 5',
    b'192.0.2.1 - - [01/Foo/2024:10:00:00 +0000] "GET /a1/collect/shop?click_id=1 HTTP/1.1" 200 5',
    b'192.0.2.1 - - [01/May/2024:25:00:00 +0000] "GET /a1/collect/shop?click_id=1 HTTP/1.1" 200 5',
    b'192.0.2.1 - - [01/May/2024:10:00:61 +0000] "GET /a1/collect/shop?click_id=1 HTTP/1.1" 200 5',
    b'192.0.2.1 - - [1/May/2024:10:00:00 +0000] "GET /a1/collect/shop?click_id=1 HTTP/1.1" 200 5',
    b'192.0.2.1 - - [01/May/2024:10:00:00] "GET /a1/collect/shop?click_id=1 HTTP/1.1" 200 5',
    b'192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET /a1/collect/shop?click_id=1 HTTP/1.1" 20 5',
    b'192.0.2.1 - - [01/May/2024:10:00:00 +0000] GET /a1/collect/shop?click_id=1 HTTP/1.1 200 5',
    b'192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET /a1/collect/shop?click_id=1 HTTP/1.1" 200 5x',
    b'192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET /a1/collect/shop?click_id=1 HTTP/1.1" 200',
    b"\xff\xfe\x00\x01", b"\x00\x00", b" # not a comment", b'{"click_id": "1"}', b"\xef\xbb\xbf",
)  # fmt: skip


class Raw(str):
    """A JSON literal, written as it stands."""

    __slots__ = ()


class Obj(list[tuple[str, Any]]):
    """A JSON object that may repeat its keys."""


NATIVE_NUMBERS: Final = tuple(map(Raw, (
    "120", "120.00", "12.50", "0", "-0", "-0.0", "1e21", "1E2", "1e-7", "1e400", "-1e400",
    "123456789012345678901234567890",
    "0.1", "1.7976931348623157e308", "5e-324", "9007199254740993", "9007199254740993.0", "1714521600",
    "1714521600.5",
    "1714521600123", "-5", "0.30000000000000004", "1e22", "1e16", "123456789.123456789", "1e5", "2.50",
    "1" * 40, "1.0e0",
)))  # fmt: skip


# --- names and values ---------------------------------------------------------------------------------------


def spelled(rng: random.Random, alias: str) -> str:
    """A spelling that folds to the same name."""
    if rng.random() < 0.55:
        return alias
    text = "".join(c for c in alias if c not in "_-" or rng.random() < 0.4)
    text = "".join(c.upper() if rng.random() < 0.3 else c for c in text)
    if rng.random() < 0.4:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice("_-") * rng.randint(1, 2) + text[at:]
    return text


def edited(rng: random.Random, name: str) -> str:
    """One edit away, or nearly."""
    at = rng.randrange(len(name))
    kind = rng.randrange(4)
    if kind == 0:
        return name[:at] + name[at + 1 :]
    if kind == 1:
        return name[:at] + rng.choice("abcxyz1") + name[at:]
    if kind == 2:
        return name[:at] + rng.choice("abcxyz1") + name[at + 1 :]
    return name[:at] + name[at : at + 2][::-1] + name[at + 2 :]


def macro(rng: random.Random) -> str:
    text = rng.choice(MACRO_STYLES).replace("%s", rng.choice(MACRO_WORDS)).replace("%%", "%")
    chance = rng.random()
    if chance < 0.25:
        return quote(text, safe="")
    if chance < 0.3:
        return quote(text, safe="").lower()
    return quote(quote(text, safe=""), safe="") if chance < 0.35 else text


def blemished(rng: random.Random, text: str) -> str:
    """Now and then empty, blank, padded, or with a character that is not quite a blank."""
    chance = rng.random()
    if chance < 0.05:
        return rng.choice(EMPTIES)
    if chance < 0.07:
        return rng.choice(NOT_EMPTIES)
    if chance < 0.11:
        return rng.choice(EMPTIES) + text + rng.choice(EMPTIES)
    return text + rng.choice(NOT_EMPTIES) if chance < 0.13 else text


def identifier(rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.6:
        return f"c{rng.randrange(40)}"
    if chance < 0.75:
        return macro(rng)
    if chance < 0.9:
        return rng.choice((*NULL_WORDS, *TEST_VALUES))
    return rng.choice(
        (
            "12345=",
            "a%20b",
            "a%zzb",
            "100%",
            "a+b",
            "é€",
            "a;b",
            "<x>y",
            "%7Bx%7D",
            "\U0001f600",
            "a\x00b",
            "%C3%A9",
        )
    )


def amount(rng: random.Random) -> str:
    if rng.random() < 0.35:
        return f"{rng.randrange(5)}.{rng.randrange(3)}"
    if rng.random() < 0.15:
        alphabet = "0123456789" * 3 + ".,eE+-$ '"
        return "".join(rng.choice(alphabet) for _ in range(rng.randint(1, 5)))
    return macro(rng) if rng.random() < 0.04 else rng.choice(VALUES)


def random_case(rng: random.Random, text: str) -> str:
    return "".join(c.upper() if rng.random() < 0.3 else c for c in text)


def core_value(rng: random.Random, field: str) -> str:  # noqa: PLR0911
    match field:
        case "click_id" | "ref_id":
            return blemished(rng, identifier(rng))
        case "email":
            return rng.choice((*EMAILS, *PREHASHED))
        case "value":
            return blemished(rng, amount(rng))
        case "currency":
            return rng.choice(CURRENCIES)
        case "event_name":
            return rng.choice(EVENT_NAMES)
        case "transaction_id":
            chance = rng.random()
            text = f"T{rng.randrange(12)}" if chance < 0.75 else identifier(rng)
            return rng.choice((text, text, text, f" {text}", f"{text}\u00a0"))
        case "brand_name":
            return rng.choice(BRANDS)
    if rng.random() < 0.3:
        return str(BASE_SECONDS + rng.choice((0, 43_200, 86_399, 86_400, 86_401, 90_000))) + rng.choice(
            ("", ".000001", ".5")
        )
    return rng.choice(TIMESTAMPS)


def conversion_type(rng: random.Random) -> str:
    return random_case(rng, rng.choice(CONVERSION_TYPES)) if rng.random() < 0.8 else rng.choice(ODD_TYPES)


def trait_value(rng: random.Random, trait: str) -> str:
    return rng.choice(PREHASHED) if rng.random() < 0.08 else rng.choice(TRAIT_VALUES[trait])


def flat_params(rng: random.Random) -> list[tuple[str, str]]:
    """Parameters as text: names as spelled, values before any encoding."""
    params: list[tuple[str, str]] = []
    chances = {
        "click_id": 0.68,
        "ref_id": 0.35,
        "email": 0.25,
        "value": 0.75,
        "currency": 0.5,
        "event_name": 0.15,
    }
    chances |= {"transaction_id": 0.5, "brand_name": 0.15, "timestamp": 0.4}
    for field, chance in chances.items():
        for _ in range(rng.choice((1,) * 14 + (2, 3)) if rng.random() < chance else 0):
            params.append((spelled(rng, rng.choice(CORE[field])), core_value(rng, field)))
    while rng.random() < (0.5 if not any(n == "conversion_type" for n, _ in params) else 0.08):
        params.append(("conversion_type", conversion_type(rng)))
    for trait, names in TRAITS.items():
        if rng.random() < 0.12:
            params.append((rng.choice(names), trait_value(rng, trait)))
    if rng.random() < 0.15:
        params += [(t, rng.choice(TRAIT_VALUES[t])) for t in ("state", "zipcode", "country")]
    if rng.random() < 0.3:
        params += [(rng.choice(XAT_NAMES), rng.choice(XAT_VALUES)) for _ in range(rng.choice((1, 2, 3, 6, 7, 9)))]
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        name = rng.choice(UNKNOWN_NAMES)
        if rng.random() < 0.3:
            known = [alias for names in (*CORE.values(), *TRAITS.values()) for alias in names]
            name = edited(rng, rng.choice((*known, "conversion_type", *ITEM_ARRAYS)))
        params.append((name, rng.choice(("1", "x", "", " ", "{x}", "ünï", "9.5"))))
    if params and rng.random() < 0.15:
        name, value = rng.choice(params)
        params.append((name, rng.choice((value, value + "x", "", " ", "other"))))
    rng.shuffle(params)
    return params


# --- items --------------------------------------------------------------------------------------------------


def item_number(rng: random.Random) -> Any:
    return rng.choice(
        (
            Raw(str(rng.randrange(9))),
            "2.50",
            "1",
            rng.choice(VALUES),
            rng.choice(NATIVE_NUMBERS),
            None,
            True,
            [],
            {},
        )
    )


def item_object(rng: random.Random) -> Obj:
    fields = Obj()
    if rng.random() < 0.5:
        return Obj([("id", "1"), ("price", Raw(str(rng.randrange(4)))), ("qty", Raw("1"))])
    for name in rng.sample(ITEM_NAMES, rng.randint(0, 6)):
        numeric = any(word in name for word in ("price", "qty", "quantity"))
        value = (
            item_number(rng)
            if numeric
            else rng.choice(("a", " b ", "", " ", None, Raw("5"), Raw("1.50"), False, ["x"], Obj(), "é"))
        )
        fields.append((spelled(rng, name), value))
    return fields


def item_array(rng: random.Random) -> Any:
    chance = rng.random()
    if chance < 0.1:
        return rng.choice(
            (
                [],
                Obj(),
                "abc",
                Raw("5"),
                True,
                "[",
                "null",
                "[1]",
                '{"id":"x"',
                "[]",
                "{}",
                '"x"',
                "NaN",
                "[NaN]",
            )
        )
    if chance < 0.2:
        return item_object(rng)
    elements: list[Any] = [item_object(rng) for _ in range(rng.randint(1, 3))]
    if chance < 0.35:
        elements.insert(
            rng.randrange(len(elements) + 1),
            rng.choice((None, Raw("5"), "x", [], [Obj([("id", "1")])], True)),
        )
    return elements


def item_text(rng: random.Random) -> str:
    value = item_array(rng)
    text = value if isinstance(value, str) and not isinstance(value, Raw) else dump(rng, value)
    return text[:-1] if rng.random() < 0.05 else rng.choice(("", "", "", " ", "\n")) + text


def bracket_params(rng: random.Random) -> list[tuple[str, str]]:
    """Bracket keys of one array in one style, as a query or form holds them."""
    base = spelled(rng, rng.choice(ITEM_ARRAYS))
    indices = rng.sample(("0", "1", "2", "7", "00", "2147483647", "2147483648", "99999999999999999999"), 2)
    if rng.random() < 0.7:
        indices = ["0", "1"]
    numbered = rng.random() < 0.6
    params = []
    for index in indices if numbered else ["", "", ""]:
        names = [("id", "a"), ("price", "1.5"), ("qty", "2")]
        if rng.random() < 0.5:
            odd = ("1", "x", "", " ", "2.5", "1,5", "é")
            names = [(spelled(rng, name), rng.choice(odd)) for name in rng.sample(ITEM_NAMES, 3)]
        params += [(f"{base}[{index}][{name}]", value) for name, value in names]
    if numbered and rng.random() < 0.15:
        params.append((f"{base}[{rng.choice(('3', '4'))}]", rng.choice(("x", "", "5"))))
    if numbered and rng.random() < 0.3:
        rng.shuffle(params)
    return params


def flat_items(rng: random.Random) -> list[tuple[str, str]]:
    params = [(spelled(rng, rng.choice(ITEM_ARRAYS)), item_text(rng)) for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2)))]
    return params + (bracket_params(rng) if rng.random() < 0.12 else [])


# --- queries and forms --------------------------------------------------------------------------------------


def encoded(rng: random.Random, text: str) -> str:
    chance = rng.random()
    if chance < 0.5:
        return quote_plus(text)
    if chance < 0.6:
        return quote(text, safe="")
    if chance < 0.65:
        return "".join(f"%{byte:02x}" for byte in text.encode())
    if chance < 0.68:
        return quote(quote(text, safe=""), safe="")
    if chance < 0.72:
        return quote_plus(text) + rng.choice(("%", "%F", "%zz", "%FF", "%C3", "%ED%A0%80", "+", ";", "=", "%00", "%2"))
    hidden = {c: f"%{ord(c):02X}" for c in "&%+\n\r\x00"} if rng.random() < 0.6 else {"&": "%26"}
    return "".join(hidden.get(c, c) for c in text)


def query_text(rng: random.Random, params: list[tuple[str, str]]) -> str:
    pieces = []
    for name, value in params:
        key = name if re.fullmatch(r"[\w\[\]-]+", name) and rng.random() < 0.7 else encoded(rng, name)
        pieces.append(f"{key}={encoded(rng, value)}" if value or rng.random() < 0.7 else key)
    joints = [
        "&" if rng.random() < 0.97 else rng.choice(("&&", "&=&", "&;", ";", "&&&", "&==&", "&=x&")) for _ in pieces
    ]
    text = "".join(piece + joint for piece, joint in zip(pieces, joints, strict=True))
    return text if rng.random() < 0.05 else text[: -len(joints[-1])] if joints else ""


# --- logs ---------------------------------------------------------------------------------------------------


def log_escaped(rng: random.Random, data: bytes) -> bytes:
    """The request as nginx or Apache logs it; now and then with raw quotes or bytes, as others do."""
    style = rng.choice(("nginx", "apache", "raw-high", "raw-quotes")) if rng.random() < 0.5 else "nginx"
    written = []
    for byte in data:
        char = bytes([byte])
        if byte < 0x20 or byte == 0x7F:
            named = {10: rb"\n", 13: rb"\r", 9: rb"\t", 8: rb"\b", 11: rb"\v"}.get(byte)
            written.append(named if named and style == "apache" else rb"\x%02X" % byte)
        elif char in b'"\\':
            hexed = rb"\x%02X" % byte if style in {"nginx", "raw-high"} else b"\\" + char
            written.append(char if style == "raw-quotes" and char == b'"' else hexed)
        elif byte > 0x7F and style in {"nginx", "apache"}:
            written.append(rb"\x%02X" % byte if style == "nginx" else rb"\x%02x" % byte)
        else:
            written.append(char)
    return b"".join(written)


def log_time(rng: random.Random) -> str:
    moment = BASE + timedelta(seconds=rng.choice((0, 1, rng.randrange(600), rng.randrange(90_000))))
    return moment.astimezone(timezone(timedelta(minutes=rng.choice(ZONES)))).strftime("%d/%b/%Y:%H:%M:%S %z")


def collect_path(rng: random.Random) -> str:
    account = rng.choice(("a1", "a1", "a1", "a2", "a%201", "ä"))
    path = f"/{account}/collect/{rng.choice(('shop', 'shop', 'shop', 'shop-2', 'é'))}"
    before = rng.choice(("/v1", "/x/y", "http://t1.example.com", "/collect")) if rng.random() < 0.08 else ""
    return before + path + ("/" if rng.random() < 0.06 else "")


def framed(rng: random.Random, request: bytes) -> bytes:
    """One line of the common or combined format around a request as logged."""
    status = rng.choice(("200", "200", "204", "404", "500", "-"))
    size = rng.choice(("0", "5", "512", "-"))
    line = f'{rng.choice(PREFIXES)} [{log_time(rng)}] "'.encode() + request + f'" {status} {size}'.encode()
    if rng.random() < 0.75:
        line += f' "{rng.choice(REFERERS)}" "{rng.choice(AGENTS)}"'.encode()
        if rng.random() < 0.15:
            line += rng.choice(EXTRAS).encode()
    return line


def postback_line(rng: random.Random) -> bytes:
    method = "POST" if rng.random() < 0.15 else "GET"
    params = flat_params(rng) + flat_items(rng)
    query = "?" + query_text(rng, params) if rng.random() < 0.97 else rng.choice(("", "?", "?&", "?=", "??"))
    if method == "POST" and rng.random() < 0.3:
        query = rng.choice(("", "?", "?&"))
    data = (collect_path(rng) + query).encode()
    if rng.random() < 0.03:
        data += rng.choice((b"\xff", b"\xc3", b"&x=\xed\xa0\x80", b"&brand=\xfe"))
    protocol = rng.choice((" HTTP/1.1", " HTTP/1.1", " HTTP/2.0", " HTTP/1.0")) if rng.random() < 0.97 else ""
    line = framed(rng, method.encode() + b" " + log_escaped(rng, data) + protocol.encode())
    return line[: rng.randrange(1, len(line))] if rng.random() < 0.015 else line


def other_line(rng: random.Random) -> bytes:
    match rng.randrange(6):
        case 0:
            return rng.choice(EMPTIES[:4] + EMPTIES[4:7]).replace("\n", "").encode()
        case 1:
            return rng.choice((b"#Fields: date time", b"# a comment", b"#", b"#\xff"))
        case 2:
            return framed(rng, rng.choice(NOT_REQUESTS).encode())
        case 3:
            return rng.choice(GARBAGE_LINES)
        case _:
            return framed(rng, rng.choice(OTHER_TRAFFIC).encode())


def log_lines(seed: int, n: int) -> bytes:
    """`n` lines of an access log, about 85 % of them postbacks."""
    rng = random.Random(seed)
    return joined(rng, repeated(rng, lambda: postback_line(rng) if rng.random() < 0.85 else other_line(rng), n))


def damaged_lines(seed: int, n: int) -> bytes:
    """Lines of a log, many of them torn or glued, padded with NUL bytes, or behind a byte order mark."""
    rng = random.Random(seed)

    def damage(line: bytes) -> bytes:
        request = line.find(b'] "') + 4
        torn = line[: rng.randint(request, len(line))] + postback_line(rng) if 4 < request <= len(line) else line
        return rng.choice(
            (line, torn, b"\0" * 7 + line, line + b"\0\0", b"\0" * 9, b"\xef\xbb\xbf" + line, line + b"\r")
        )

    return joined(rng, [damage(postback_line(rng)) for _ in range(n)])


def repeated(rng: random.Random, make: Callable[[], T], n: int) -> list[T]:
    """`n` records; some are sent again, as senders that retry do."""
    records: list[T] = []
    for _ in range(n):
        records.append(rng.choice(records) if records and rng.random() < 0.05 else make())
    return records


def joined(rng: random.Random, lines: list[bytes]) -> bytes:
    text = b"".join(line + (b"\r\n" if rng.random() < 0.05 else b"\n") for line in lines)
    return text if rng.random() < 0.7 else text.removesuffix(b"\n")


# --- JSON ---------------------------------------------------------------------------------------------------


def dump(rng: random.Random, value: Any) -> str:
    """JSON text in a random style; lone surrogates are always escaped."""
    colon, comma = rng.choice(((":", ","), (": ", ", "), (" :\t", " , ")))
    plain = rng.random() < 0.5

    def text_of(text: str) -> str:
        return json.dumps(text, ensure_ascii=not plain or re.search("[\ud800-\udfff]", text) is not None)

    def write(one: Any) -> str:
        if isinstance(one, Raw):
            return str(one)
        if isinstance(one, Obj | dict):
            pairs = one.items() if isinstance(one, dict) else one
            return "{" + comma.join(text_of(name) + colon + write(inner) for name, inner in pairs) + "}"
        if isinstance(one, list | tuple):
            return "[" + comma.join(map(write, one)) + "]"
        return text_of(one) if isinstance(one, str) else json.dumps(one)

    return write(value)


def native(rng: random.Random, text: str) -> Any:
    """A parameter's text as a JSON value: mostly a string, or what a careless sender makes of it."""
    chance = rng.random()
    if chance < 0.12:
        return rng.choice(NATIVE_NUMBERS)
    if chance < 0.2 and re.fullmatch(r"-?(0|[1-9]\d{0,30})(\.\d+)?([eE][+-]?\d{1,3})?", text, re.ASCII):
        return Raw(text)
    if chance < 0.23:
        return rng.choice((True, False, None))
    if chance < 0.27:
        return rng.choice(([], Obj(), ["x"], Obj([("a", Raw("1.50"))]), [None], [Raw("1e400")]))
    if chance < 0.29:
        return text + rng.choice(("\ud800", "\udc00x", "\U0001f600", "\ud83d"))
    return text


def structure(rng: random.Random) -> Any:
    return rng.choice((
        [], Obj(), ["a", Raw("1.0"), None, True], Obj([("b", "é\u2028"), ("a", Raw("12.50")), ("b",
        Raw("1e21"))]), [[Obj()]],
        ['"\\/\n\x01\x7f'], Obj([("", "")]), [Raw("123456789012345678901234567890")], ["\ud800"],
        Obj([("k\ud800", Raw("-0.0"))]),
    ))  # fmt: skip


def deep(rng: random.Random, deepest: int) -> Raw:
    depth = rng.choice((5, 60, 450, deepest))
    return Raw("[" * depth + "]" * depth)


def json_params(rng: random.Random, *, deepest: int = 450) -> Obj:
    """A payload object."""
    payload = Obj((name, native(rng, value)) for name, value in flat_params(rng))
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        array = item_array(rng) if rng.random() < 0.75 else item_text(rng)
        payload.append((spelled(rng, rng.choice(ITEM_ARRAYS)), array))
    if rng.random() < 0.1:
        payload.append((rng.choice((*XAT_NAMES, "meta")), structure(rng)))
    if rng.random() < 0.02:
        payload.append((rng.choice(("xat_deep", "meta")), deep(rng, deepest)))
    if rng.random() < 0.04:
        payload.append((rng.choice(("items[0][id]", "line_items[][id]", "method", "path", "headers")), "x"))
    rng.shuffle(payload)
    return payload


def query_object(rng: random.Random, *, brackets: bool) -> Obj:
    pairs: dict[str, Any] = {}
    for name, value in flat_params(rng) + (bracket_params(rng) if brackets else []):
        if name in pairs:
            pairs[name] = [*(pairs[name] if isinstance(pairs[name], list) else [pairs[name]]), value]
        else:
            pairs[name] = rng.choice((value, value, value, [value], Raw("5"), None, [value, "y"], [], Obj()))
        if brackets and "[" in name and not isinstance(pairs[name], str | list):
            pairs[name] = value
    return Obj(pairs.items())


def body(rng: random.Random, *, brackets: bool) -> Any:
    chance = rng.random()
    if chance < 0.35:
        return json_params(rng)
    if chance < 0.6:
        text = dump(rng, json_params(rng))
        return rng.choice(("", "", " ", "\n")) + text
    if chance < 0.9:
        return query_text(rng, flat_params(rng) + (bracket_params(rng) if brackets else []))
    array = [json_params(rng), *rng.choice(([], [json_params(rng)], [Raw("5"), "click_id=1"], [[], None]))]
    return rng.choice(
        (
            array,
            dump(rng, array),
            None,
            "",
            " ",
            Obj(),
            "{",
            "[",
            "[]",
            "[1]",
            '{"click_id":"1"',
            "{'a': 1}",
            '{"a":NaN}',
            '["x"]',
            "x",
            "\ufeff{}",
            "&",
        )
    )


def received(rng: random.Random) -> Any:
    seconds = BASE_SECONDS + rng.choice((0, 1, rng.randrange(600), rng.randrange(90_000)))
    iso = datetime.fromtimestamp(seconds, UTC).isoformat()
    return rng.choice((
        iso, iso, iso.replace("+00:00", "Z"), iso.replace("T", " "), iso.replace("+00:00", ".123456Z"),
        iso[:19], Raw(str(seconds)),
        Raw(f"{seconds}.25"), str(seconds), None, "yesterday", "", "2024-05-01T10:00:00+02:00",
        "2024-02-30T00:00:00Z",
    ))  # fmt: skip


def envelope(rng: random.Random) -> Obj:
    """An envelope: `body` or `query` beside something about the request."""
    whole = Obj()
    bracketed = rng.choice(("query", "body", "", "", "", ""))
    path = collect_path(rng).removeprefix("http://t1.example.com")
    if rng.random() < 0.06:
        path = rng.choice(("/", "/a1/collect", "/a1/collected/shop", "/health?click_id=1"))
    query = query_text(rng, flat_params(rng) + (bracket_params(rng) if bracketed == "query" else []))
    chance = rng.random()
    if chance < 0.35:
        whole.append(("path", path))
        if rng.random() < 0.7:
            whole.append(("query", query if rng.random() < 0.6 else query_object(rng, brackets=bracketed == "query")))
    elif chance < 0.5:
        whole.append(("path", f"{path}?{query}"))
        whole += [("query", rng.choice((None, "", " ", Obj())))] if rng.random() < 0.4 else []
    elif chance < 0.75:
        whole.append(("url", f"https://t1.example.com{path}?{query}"))
    elif chance < 0.8:
        whole += [("url", f"https://t1.example.com{path}"), ("path", f"{path}?{query}")]
    if rng.random() < 0.75:
        whole.append(
            (
                "method",
                rng.choice(("POST", "POST", "GET", "GET", "PUT", None, "HEAD")) if rng.random() < 0.3 else "POST",
            )
        )
    if rng.random() < 0.8:
        whole.append(("received_at", received(rng)))
    if rng.random() < 0.3:
        whole.append(("headers", Obj([("content-type", "application/json"), ("host", "t1.example.com")])))
    if rng.random() < 0.8 or not any(name == "query" for name, _ in whole):
        whole.append(("body", body(rng, brackets=bracketed == "body")))
    if not {"path", "url", "method", "received_at", "headers"} & {name for name, _ in whole}:
        whole.append(("received_at", received(rng)))
    rng.shuffle(whole)
    return whole


def json_record(rng: random.Random, deepest: int) -> Any:
    chance = rng.random()
    if chance < 0.42:
        return json_params(rng, deepest=deepest)
    if chance < 0.95:
        return envelope(rng)
    return rng.choice(
        (
            None,
            True,
            Raw("5"),
            "text",
            [],
            [Obj([("click_id", "1")])],
            [json_params(rng, deepest=400), envelope(rng)],
            Obj(),
            Obj([("body", "click_id=1")]),
            Raw("1e400"),
        )
    )


BROKEN_LINES: Final = (
    b"{", b'{"click_id": "1"', b'{"click_id": NaN}', b'{"click_id": Infinity}', b'{"click_id": -Infinity}',
    b'{"click_id": 01}',
    b'{"click_id": "1",}', b"{'click_id': '1'}", b'{"click_id": "a\x01b"}', b'{"click_id": "\\x41"}',
    b'{"click_id": "1"} x',
    b'{"click_id": "1"}{"click_id": "2"}', b'\xef\xbb\xbf{"click_id": "1"}', b'\xff{"click_id": "1"}',
    b'{"click_id": 1.}',
    b'{"click_id": +1}', b'{"click_id": .5}', b"nul", b'{"click_id": "\xc2\xa01"}\xc2\xa0',
    b'{"click_id": "\\ud8"}', b"[", b"click_id=1",
    b'{"click_id": "1", "x": ' + b"[" * 600 + b"]" * 600 + b"}", b'{"click_id": 1e5, "value": 1E+2}',
    b'{"click_id":"\tx"}', b"{1:2}",
)  # fmt: skip


def json_line(rng: random.Random) -> bytes:
    chance = rng.random()
    if chance < 0.03:
        return rng.choice((b"", b" ", b"\t", b"\xc2\xa0", b"\xe3\x80\x80 "))
    if chance < 0.05:
        return rng.choice((b"# comment", b"#", b'#{"click_id": "1"}'))
    if chance < 0.1:
        return rng.choice(BROKEN_LINES)
    line = dump(rng, json_record(rng, 600)).encode()
    if chance < 0.14:
        strings = [at.end() for at in re.finditer(rb'": ?"', line)] or [len(line)]
        at = rng.choice(strings)
        line = line[:at] + rng.choice((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f")) + line[at:]
    return line[: rng.randrange(len(line) + 1)] if chance > 0.99 else rng.choice((b"", b"", b"", b" ")) + line


def json_lines(seed: int, n: int) -> bytes:
    """`n` lines: bare payloads, envelopes, broken and blank lines."""
    rng = random.Random(seed)
    return joined(rng, repeated(rng, lambda: json_line(rng), n))


def json_array(seed: int, n: int) -> bytes:
    """One array of `n` elements; it always parses."""
    rng = random.Random(seed)
    elements = repeated(rng, lambda: dump(rng, json_record(rng, 450)), n)
    joint = rng.choice((",", ", ", ",\n", "\n  ,\n"))
    return (rng.choice(("[", "[\n  ")) + joint.join(elements) + rng.choice(("]", "\n]\n"))).encode()


#: By kind of input, what is read as the format of `FORMATS`.
GENERATORS: Final = {"log": log_lines, "jsonl": json_lines, "json": json_array}
FORMATS: Final = {"log": "combined", "jsonl": "jsonl", "json": "json"}
