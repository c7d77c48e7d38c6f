"""Parses and writes JSON as the endpoint reads it; the only exception is `JsonError`.

Integers stay exact and numbers are written without exponents. `orjson` parses most texts. The standard library parses
the texts that `orjson` refuses or would round: integers past 64 bits, numbers past a double, lone surrogates. Both
follow RFC 8259.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

import orjson

#: Python allows about 1,000 stack frames. Recursive functions use loops, which take one frame a level, instead of
#: comprehensions or `map`, which take two.
MAX_DEPTH: Final = 500

#: An integer of 19 digits may exceed 64 bits. With all digits mapped to `0`, one search for 19 zeros finds such runs.
_ALL_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_INTEGER: Final = b"0" * 19
#: Other texts are not JSON. It takes long to find that out by parsing them.
_MAY_BE_JSON: Final = re.compile(rb"\s*(?:[{\[\"]|(?:[-+.0-9eE]+|true|false|null)\s*\Z)")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|.)", re.DOTALL)


class JsonError(ValueError):
    """Raised where a text is not JSON, or nested too deep."""


class NumberText(str):
    """A number that fits neither a 64-bit integer nor a double, kept as written."""


def parse(text: bytes) -> Any:
    """Parses one JSON text. Bytes that are not UTF-8 become U+FFFD, and so do lone surrogates.

    Raises:
        JsonError: Not JSON, or nested deeper than MAX_DEPTH.

    Examples:
        >>> parse(b'{"a": 12345678901234567890123}')["a"]
        '12345678901234567890123'
        >>> parse(b'[1.50, null]')
        [1.5, None]
        >>> parse(b'{"a": NaN}')
        Traceback (most recent call last):
        ...
        etl.columnar.json_codec.JsonError: not JSON
    """
    return _checked(text, _parse_any(text))


def parse_exactly(text: bytes) -> Any:
    r"""Parses one JSON text like `parse`, but keeps bytes that are not UTF-8 as `surrogateescape` surrogates.

    Raises:
        JsonError: As `parse`.

    Examples:
        >>> parse_exactly(b'["\xe9"]')[0].encode("utf-8", "surrogateescape")
        b'\xe9'
    """
    decoded = text.decode("utf-8", "surrogateescape")
    if decoded.isascii() or _SURROGATE.search(decoded):
        return parse(text)
    return _checked(text, _parse_slowly(decoded))


def repair_escapes(text: bytes) -> bytes:
    r"""Replaces the `\xHH` escapes that nginx writes without `escape=json`, so that the text becomes valid JSON.

    Examples:
        >>> repair_escapes(rb'{"a": "\x22\xE9\\x41"}')
        b'{"a": "\\"\xe9\\\\x41"}'
    """
    return _ESCAPE.sub(_json_escape, text) if b"\\x" in text else text


def without_surrogates(value: Any) -> Any:
    """Replaces each lone surrogate in the texts and names of a JSON value by U+FFFD."""
    if isinstance(value, NumberText):
        return value
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return list(map(without_surrogates, value))
    if isinstance(value, dict):
        return dict(zip(map(without_surrogates, value), map(without_surrogates, value.values()), strict=True))
    return value


def scalar(value: Any) -> str | None:
    """Returns the text of a JSON scalar, numbers without exponent; None for null, objects and arrays.

    Source: rules 1.5.

    Examples:
        >>> [scalar(v) for v in (120.00, 12.50, 1e21, 7, True, "x", None, {})]
        ['120', '12.5', '1000000000000000000000', '7', 'true', 'x', None, None]
    """
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _plain_notation(value)
    return None


def compact(value: Any) -> str:
    r"""Returns JSON text without white space, characters unescaped, numbers as `scalar` writes them (rules 7.4).

    Examples:
        >>> compact({"a": [1.0, "é\n", None], "b": {}})
        '{"a":[1,"é\\n",null],"b":{}}'
    """
    members = []
    if isinstance(value, dict):
        for name, item in value.items():
            members.append(f"{_quoted(name)}:{compact(item)}")
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        for item in value:
            members.append(compact(item))  # noqa: PERF401
        return "[" + ",".join(members) + "]"
    if value is None:
        return "null"
    if isinstance(value, str) and not isinstance(value, NumberText):
        return _quoted(value)
    return scalar(value) or ""


def is_structure(value: Any) -> bool:
    """Returns whether a JSON value is an object or an array."""
    return isinstance(value, (dict, list))


def is_json(text: bytes) -> bool:
    """Returns whether `parse` can read a text."""
    try:
        parse(text)
    except JsonError:
        return False
    return True


def is_equivalent(text: str, other: str) -> bool:
    """Returns whether two JSON texts have equal values and no object of the first has two members of one name.

    Examples:
        >>> is_equivalent('{"a": 1.0}', '{"a":1}'), is_equivalent('{"a": 1, "a": 2}', '{"a":2}')
        (True, False)
    """
    repeated = []

    def check(members: list[tuple[str, Any]]) -> None:
        if len(dict(members)) < len(members):
            repeated.append(members)

    try:
        json.loads(text, object_pairs_hook=check, parse_int=str, parse_float=str)
        return not repeated and bool(parse(text.encode()) == parse(other.encode()))
    except (ValueError, RecursionError):
        return False


def dump(value: Any) -> str:
    """Returns JSON text that `parse` reads back as the same value; faster than `compact`, number format unspecified."""
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    except TypeError:
        return compact(value)


def _parse_any(text: bytes) -> Any:
    """Parses with `orjson` where that is exact, else with the standard library; U+FFFD for what is not UTF-8."""
    if _LONG_INTEGER not in text.translate(_ALL_ZEROS):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            if not _MAY_BE_JSON.match(text):
                raise JsonError("not JSON") from None
    decoded = text.decode("utf-8", "replace")
    value = _checked(text, _parse_slowly(decoded))
    return without_surrogates(value) if _SURROGATE.search(decoded) else value


def _parse_slowly(decoded: str) -> Any:
    """Parses with the standard library, numbers without loss."""
    try:
        return _SLOW_DECODER.decode(decoded)
    except (ValueError, RecursionError):
        raise JsonError("not JSON") from None


def _checked(text: bytes, value: Any) -> Any:
    """Returns the value of a text, or raises `JsonError` if it is nested deeper than MAX_DEPTH."""
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise JsonError(f"nested deeper than {MAX_DEPTH}")
    return value


def _json_escape(escape: re.Match[bytes]) -> bytes:
    r"""Returns a `\xHH` escape as JSON writes that byte; leaves every other escape as it is."""
    if escape[1] is None:
        return escape[0]
    byte = bytes([int(escape[1], 16)])
    if byte in (b'"', b"\\"):
        return b"\\" + byte
    return b"\\u%04x" % byte[0] if byte < b" " else byte


def _integer(digits: str) -> int | NumberText:
    """Returns an integer of up to 18 characters as int, a longer one as text."""
    return int(digits) if len(digits) < 19 else NumberText(digits)


def _number(text: str) -> float | NumberText:
    """Returns a number as float, or as text if it exceeds a double."""
    number = float(text)
    return NumberText(text) if math.isinf(number) else number


def _refuse(constant: str) -> NoReturn:
    raise JsonError(f"{constant} is not JSON")


#: Made once: it takes longer to make than to find that a log line is no JSON.
_SLOW_DECODER: Final = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_refuse)


def _plain_notation(number: float) -> str:
    """Returns a double's shortest decimal text without exponent or trailing `.0`."""
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def _quoted(text: str) -> str:
    """Returns a text as a JSON string; lone surrogates stay as they are."""
    try:
        return orjson.dumps(str(text)).decode()
    except TypeError:
        return json.dumps(str(text), ensure_ascii=False)


def _is_deeper(value: Any, limit: int) -> bool:
    """Returns whether a value is nested deeper than `limit` levels; walks level by level, without recursion."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if is_structure(item)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return any(map(is_structure, level))
