"""Mends amounts that are no plain numbers but have a clear meaning, and reads the currency they say (rules 4.1)."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Final, NamedTuple

from etl.rules.page import WHITE_SPACE
from etl.rules.value_parsing import active_currencies, read_amount


class RepairedAmount(NamedTuple):
    """An amount as it was meant: the number, the currency that the text says, a sign that several currencies share."""

    value: Decimal | None = None
    currency: str | None = None
    shared_sign: str | None = None


class SharedSign(NamedTuple):
    """A sign of several currencies, and the currency that it means where the conversion has none of them."""

    sign: str
    currencies: tuple[str, ...]
    otherwise: str | None


#: Signs and abbreviations of one currency, in lower case.
SIGNS: Final = (
    *(("€", "EUR"), ("£", "GBP"), ("zł", "PLN"), ("₹", "INR"), ("₽", "RUB"), ("₺", "TRY"), ("₩", "KRW"), ("₪", "ILS")),
    *(("₫", "VND"), ("₴", "UAH"), ("฿", "THB"), ("r$", "BRL"), ("kč", "CZK"), ("ft", "HUF"), ("us$", "USD")),
    *(("ca$", "CAD"), ("au$", "AUD"), ("nz$", "NZD"), ("hk$", "HKD"), ("s$", "SGD"), ("mx$", "MXN")),
)
SHARED_SIGNS: Final = (
    SharedSign("$", ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "CLP", "COP"), "USD"),
    SharedSign("¥", ("JPY", "CNY"), "JPY"),
    SharedSign("kr", ("SEK", "NOK", "DKK", "ISK"), None),
    SharedSign("rs", ("INR", "PKR", "LKR", "NPR", "MUR", "SCR"), "INR"),
)
_CURRENCY_OF: Final = dict(SIGNS)
_SHARED: Final = {row.sign: row for row in SHARED_SIGNS}

#: Possessive, so that a long run of blanks costs linear time.
_BLANKS: Final = f"[{WHITE_SPACE}]*+"
#: Characters of Unicode's currency signs. A cent sign is none of them: it means a hundredth.
_SIGN: Final = r"[$£¤¥֏؋৳฿៛\u20a0-\u20cf﷼]"
_MARK: Final = rf"(?:[A-Za-z]{{0,2}}{_SIGN}|[A-Za-z]{{3}}|zł|kč|ft|kr\.?|rs\.?)"
_MARKS: Final = rf"(?:{_MARK}{_BLANKS}){{0,2}}"
_SEPARATOR: Final = "[ \u00a0\u202f\u2009'’]"
#: Compiled by the first amount that needs it: this takes as long as reading thousands of lines.
_FORMATTED: Final = (
    rf"(?i)(?P<before>[+-]?){_BLANKS}(?P<left>{_MARKS})(?P<between>[+-]?){_BLANKS}(?P<open>\(?){_BLANKS}(?P<within>{_MARKS})"
    rf"(?P<number>[0-9.,]++(?:{_SEPARATOR}[0-9.,]++)*+(?:e[+-]?[0-9]+)?){_BLANKS}(?P<inner>{_MARKS})(?P<close>\)?)"
    rf"{_BLANKS}(?P<behind>-?){_BLANKS}(?P<right>{_MARKS})(?P<last>-?)"
)

#: The first group of digits: one to three, but no lone zero.
_FIRST: Final = "(?:[1-9][0-9]{0,2}|0[0-9]{1,2})"
#: Notations of numbers: the pattern, the characters that separate thousands, the characters of the decimal point.
_NOTATIONS: Final = (
    (re.compile(rf"{_FIRST}(?:,[0-9]{{3}})+(?:\.[0-9]+)?"), ",", "."),
    (re.compile(r"(?:[1-9][0-9]?|0[0-9])(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?"), ",", "."),
    (re.compile(rf"{_FIRST}(?:\.[0-9]{{3}})+,[0-9]+"), ".", ","),
    (re.compile(rf"{_FIRST}(?:\.[0-9]{{3}}){{2,}}"), ".", ","),
    (re.compile(rf"{_FIRST}({_SEPARATOR})[0-9]{{3}}(?:\1[0-9]{{3}})*(?:[.,][0-9]+)?"), _SEPARATOR[1:-1], ",."),
    (re.compile(r"[0-9]+(?:\.[0-9]*|,[0-9]+)?|[.,][0-9]+"), "", ",."),
)
_EXPONENT: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)e[+-]?[0-9]+", re.IGNORECASE)
_PLAIN_SIGNS: Final = str.maketrans("\u2212＄￡￥￦", "-$£¥₩")


def repair_amount(text: str) -> RepairedAmount:
    """Mends an amount with a currency, separators of thousands, a decimal comma, a minus elsewhere, or other digits.

    Every field is None where the meaning is unclear.

    Source: rules 4.1.

    Examples:
        >>> [str(repair_amount(t).value) for t in ("$12", "(1,234.50)", "12,50-", "1,23,456", "nan", "€12 USD")]
        ['12.000000000', '-1234.500000000', '-12.500000000', '123456.000000000', 'None', 'None']
        >>> repair_amount("250 zł").currency, repair_amount("$5").shared_sign
        ('PLN', '$')
    """
    match = re.fullmatch(_FORMATTED, _as_ascii(text.strip(WHITE_SPACE)))
    if not match:
        return RepairedAmount()
    signs = match["before"] + match["between"] + match["behind"] + match["last"] + ("-" if match["open"] else "")
    marks = re.findall(f"(?i){_MARK}", f"{match['left']} {match['within']} {match['inner']} {match['right']}")
    said = _read_marks([mark.lower().rstrip(".") for mark in marks])
    number = _read_number(match["number"], has_marks=bool(marks))
    if len(signs) > 1 or bool(match["open"]) != bool(match["close"]) or said is None or number is None:
        return RepairedAmount()
    value = read_amount(signs + number)
    return said._replace(value=value) if value is not None else RepairedAmount()


def _as_ascii(text: str) -> str:
    """Returns a text with ASCII digits, minus and currency signs in place of those of other scripts."""
    if text.isascii():
        return text
    plain = text.translate(_PLAIN_SIGNS)
    return "".join(str(unicodedata.decimal(c)) if not c.isascii() and c.isdecimal() else c for c in plain)


def _read_number(text: str, *, has_marks: bool) -> str | None:
    """Returns a number without separators of thousands and with a decimal point; None if its notation is unclear."""
    if _EXPONENT.fullmatch(text):
        return None if has_marks else text
    for pattern, separators, points in _NOTATIONS:
        if pattern.fullmatch(text):
            digits = text.translate({ord(separator): None for separator in separators})
            return digits.translate({ord(point): "." for point in points})
    return None


def _read_marks(marks: list[str]) -> RepairedAmount | None:
    """Returns the currency or the shared sign of up to two marks that agree; None where they do not or one is none."""
    if not marks:
        return RepairedAmount()
    meant = [_currencies_of(mark) for mark in marks]
    agreed = set.intersection(*(set(one) for one in meant)) if len(marks) <= 2 else set()
    if not agreed:
        return None
    if len(agreed) == 1:
        (currency,) = agreed
        return RepairedAmount(currency=currency or None)
    return RepairedAmount(shared_sign=marks[0])


def _currencies_of(mark: str) -> tuple[str, ...]:
    """Returns the currencies that a mark in lower case can mean; an empty text for a sign of none that is known."""
    if mark in _CURRENCY_OF:
        return (_CURRENCY_OF[mark],)
    if mark in _SHARED:
        return _SHARED[mark].currencies
    if mark.isascii() and mark.isalpha():
        return (mark.upper(),) if mark.upper() in active_currencies() else ()
    return ("",) if re.search(_SIGN, mark) else ()
