"""Reads bodies that look like JSON, and says what is wrong with those that are no JSON object (rules 1.3)."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple, NoReturn

from etl.columnar import json_codec

BYTE_ORDER_MARK: Final = "\ufeff"
_PYTHON: Final = re.compile(r"\s*\{\s*[bu]?'")
_MULTIPART: Final = re.compile(r"\s*--[^\r\n]{1,200}\r?\n(?:[^\r\n]*\r?\n)?content-disposition:", re.IGNORECASE)


class ReadBody(NamedTuple):
    """A body: the object that it is, or else what is wrong with it; neither where it is no JSON."""

    content: dict[str, Any] | None = None
    fault: str | None = None


def read_body(text: str) -> ReadBody:
    r"""Reads a body that looks like JSON: an object, or a JSON string with the text of an object.

    Examples:
        >>> read_body('{"a": 1}').content, read_body('"{\\"a\\": 1}"').content, read_body('"a"')
        ({'a': 1}, {'a': 1}, ReadBody(content=None, fault=None))
        >>> read_body('[{}, {}]').fault, read_body('{"a": 1,}').fault
        ('The body is an array of 2 objects, not an object', 'The body is JSON that breaks at character 9')
    """
    plain = text.removeprefix(BYTE_ORDER_MARK)
    try:
        value = json_codec.parse(plain.encode())
    except json_codec.JsonError:
        return ReadBody() if plain.lstrip().startswith('"') else ReadBody(fault=_break_of(plain))
    if isinstance(value, str):
        inner = value.removeprefix(BYTE_ORDER_MARK)
        if not inner.lstrip(" \t\r\n").startswith("{"):
            return ReadBody()
        try:
            value = json_codec.parse(inner.encode())
        except json_codec.JsonError:
            return ReadBody(fault=_break_of(inner))
    return ReadBody(value) if isinstance(value, dict) else ReadBody(fault=not_an_object(value))


def not_an_object(value: Any, what: str = "body") -> str:
    """Says what a JSON value is that should be an object.

    Examples:
        >>> not_an_object([1]), not_an_object(True, "record")
        ('The body is an array of 1 element, not an object', 'The record is JSON, but not an object')
    """
    if not isinstance(value, list):
        return f"The {what} is JSON, but not an object"
    noun = "object" if value and all(isinstance(one, dict) for one in value) else "element"
    return f"The {what} is an array of {len(value)} {noun}{'' if len(value) == 1 else 's'}, not an object"


def other_kind(text: str) -> str | None:
    """Says which kind a body is that was read as a form but is none; None for other texts.

    Examples:
        >>> other_kind("<o><click_id>1</click_id></o>"), other_kind("click_id=1")
        ('the body is XML, and only JSON and forms are read', None)
    """
    if text.lstrip().startswith("<"):
        return "the body is XML, and only JSON and forms are read"
    return "the body is multipart form data, and only JSON and forms are read" if _MULTIPART.match(text) else None


def _break_of(text: str) -> str:
    """Says where a text that looks like JSON breaks."""
    if _PYTHON.match(text):
        return "The body is a Python dictionary, not JSON"
    try:
        json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return f"The body is JSON that breaks at character {error.pos + 1}"
    except (ValueError, RecursionError):
        return "The body is JSON that is nested too deep, or has a number that JSON does not know"
    return "The body is JSON that is nested too deep"


def _refuse(_: str) -> NoReturn:
    raise ValueError
