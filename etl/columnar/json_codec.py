"""JSON as the endpoint reads it: exact integers, plain-notation numbers, and never an exception but `JsonError`.

`orjson` does the work; what it refuses or would round (integers past 64 bits, numbers past a double, lone surrogates)
is parsed again by the standard library, under the same grammar (RFC 8259).
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

import orjson

#: What recurses takes one frame a level, hence loops where a comprehension or `map` takes two; there are a thousand.
MAX_DEPTH: Final = 500

#: Nineteen digits may be an integer past 64 bits; that they are there shows once all digits are the same.
_ALL_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_INTEGER: Final = b"0" * 19
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|.)", re.DOTALL)


class JsonError(ValueError):
    """The text is not JSON."""


class Digits(str):
    """A number that no integer of 64 bits and no double holds, kept as it is written."""


def parse(text: bytes) -> Any:
    """The value of one JSON text. Bytes that are not UTF-8 become U+FFFD, lone surrogates too.

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
        etl.json_text.JsonError: not JSON
    """
    return _checked(text, _parse_any(text))


def parse_exactly(text: bytes) -> Any:
    r"""As `parse`, but bytes that are not UTF-8 become lone surrogates, from which `surrogateescape` gets them back.

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


def repaired(text: bytes) -> bytes:
    r"""JSON text from what is JSON but for `\xHH` in its strings, as nginx writes them without `escape=json`.

    Examples:
        >>> repaired(rb'{"a": "\x22\xE9\\x41"}')
        b'{"a": "\\"\xe9\\\\x41"}'
    """
    return _ESCAPE.sub(_as_json, text) if b"\\x" in text else text


def without_surrogates(value: Any) -> Any:
    """The value with U+FFFD for each lone surrogate in its texts and names."""
    if isinstance(value, Digits):
        return value
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return list(map(without_surrogates, value))
    if isinstance(value, dict):
        return dict(zip(map(without_surrogates, value), map(without_surrogates, value.values()), strict=True))
    return value


def scalar(value: Any) -> str | None:
    """The text of a JSON scalar; None for null, objects and arrays.

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
        return _plain(value)
    return None


def compact(value: Any) -> str:
    r"""JSON text without blanks, characters unescaped, numbers as `scalar` writes them (rules 7.4).

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
    if isinstance(value, str) and not isinstance(value, Digits):
        return _quoted(value)
    return scalar(value) or ""


def is_structure(value: Any) -> bool:
    """Whether a JSON value is an object or an array."""
    return isinstance(value, (dict, list))


def is_json(text: bytes) -> bool:
    """Whether `parse` reads a text."""
    try:
        parse(text)
    except JsonError:
        return False
    return True


def says_the_same(text: str, other: str) -> bool:
    """Whether two JSON texts have the same value, and the first says nothing beyond it: it names no member twice.

    Examples:
        >>> says_the_same('{"a": 1.0}', '{"a":1}'), says_the_same('{"a": 1, "a": 2}', '{"a":2}')
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
    """JSON text that `parse` reads back as the same value, in any notation: faster than `compact`."""
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    except TypeError:
        return compact(value)


def _parse_any(text: bytes) -> Any:
    if _LONG_INTEGER not in text.translate(_ALL_ZEROS):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    decoded = text.decode("utf-8", "replace")
    value = _checked(text, _parse_slowly(decoded))
    return without_surrogates(value) if _SURROGATE.search(decoded) else value


def _parse_slowly(decoded: str) -> Any:
    try:
        return json.loads(decoded, parse_int=_integer, parse_float=_number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise JsonError("not JSON") from None


def _checked(text: bytes, value: Any) -> Any:
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise JsonError(f"nested deeper than {MAX_DEPTH}")
    return value


def _as_json(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None:
        return escape[0]
    byte = bytes([int(escape[1], 16)])
    if byte in (b'"', b"\\"):
        return b"\\" + byte
    return b"\\u%04x" % byte[0] if byte < b" " else byte


def _integer(digits: str) -> int | Digits:
    return int(digits) if len(digits) < 19 else Digits(digits)


def _number(text: str) -> float | Digits:
    number = float(text)
    return Digits(text) if math.isinf(number) else number


def _refuse(constant: str) -> NoReturn:
    raise JsonError(f"{constant} is not JSON")


def _plain(number: float) -> str:
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def _quoted(text: str) -> str:
    return orjson.dumps(str(text)).decode()


def _is_deeper(value: Any, limit: int) -> bool:
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
