"""Computes replacements for spans of a buffer, once for each distinct text, and finds positions of addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar.factorize import factorize
from etl.columnar.splices import Splices
from etl.columnar.string_buffers import Bytes, Positions, texts_of

#: The most bytes from the first to the third dot of an IPv4 address, and from the first to the seventh colon of IPv6.
_THREE_DOTS: Final = 8
_SEVEN_COLONS: Final = 30

#: The digits of `%40`, the encoded sign of an address, and of `%25`, which encodes it again.
_IS_SIGN: Final = np.zeros((256, 256), np.bool_)
_IS_SIGN[[ord("4"), ord("2")], [ord("0"), ord("5")]] = True

#: Whether a byte may begin or divide a form, JSON, XML or a literal, or is encoded itself, by the digits behind `%`.
_IS_NESTING: Final = np.zeros((256, 256), np.bool_)
for _code in ("7B", "5B", "3D", "3F", "25", "40", "3A", "5C", "3C"):
    _IS_NESTING[ord(_code[0]), [ord(_code[1]), ord(_code[1].lower())]] = True


class Templates(NamedTuple):
    """Spans of a buffer that change, and the template of each span's replacement.

    Attributes:
        starts: First byte of each span.
        ends: One past the last byte of each span.
        templates: The distinct templates.
        numbers: Index of each span's template in `templates`.
    """

    starts: Positions
    ends: Positions
    templates: list[str]
    numbers: Positions


def templates_of(buffer: Bytes, starts: Positions, ends: Positions, write: Callable[[str], str]) -> Templates:
    """Computes the template of each distinct text, and returns the spans whose text changes.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each span.
        ends: One past the last byte of each span.
        write: Returns the template of a text.
    """
    texts, numbers = factorize(texts_of(buffer, starts, ends))
    templates = [write(text) for text in texts]
    is_changed = np.array([template != text for template, text in zip(templates, texts, strict=True)], np.bool_)
    index = np.flatnonzero(is_changed[numbers.to_numpy()])
    return Templates(starts[index], ends[index], templates, numbers.to_numpy()[index].astype(np.int64))


def fill_templates(parts: list[Templates], fill: Callable[[list[str]], pl.Series]) -> list[Splices]:
    """Fills the templates of all parts with one call, and returns the replacements of each part.

    Args:
        parts: Templates of spans.
        fill: Returns the filled texts of templates.
    """
    texts = fill([template for part in parts for template in part.templates])
    firsts = np.cumsum([0, *(len(part.templates) for part in parts)])
    return [
        Splices(part.starts, part.ends, texts.gather(first + part.numbers))
        for part, first in zip(parts, firsts[:-1], strict=True)
    ]


def address_positions(buffer: Bytes) -> Positions:
    """Returns positions such that every e-mail or IP address in a buffer contains at least one of them.

    Examples:
        >>> address_positions(np.frombuffer(b"jo@a jo%40a 1.2, but 1.2.3.4 ::1 12:30:00", np.uint8)).tolist()
        [2, 7, 22, 29]
    """
    dots, colons, percents = (np.flatnonzero(buffer == ord(mark)) for mark in ".:%")
    percents = percents[percents + 2 < len(buffer)]
    return np.concatenate(
        [
            np.flatnonzero(buffer == ord("@")),
            percents[_IS_SIGN[buffer[percents + 1], buffer[percents + 2]]],
            dots[:-2][dots[2:] - dots[:-2] <= _THREE_DOTS],
            colons[:-1][colons[1:] - colons[:-1] == 1],
            colons[:-6][colons[6:] - colons[:-6] <= _SEVEN_COLONS],
        ]
    )


def nesting_positions(buffer: Bytes) -> Positions:
    """Returns the positions of percent escapes without which an encoded text is no form, URL, JSON, XML or address.

    Examples:
        >>> nesting_positions(np.frombuffer(b"a%3Db%20%7b", np.uint8)).tolist()
        [1, 8]
    """
    percents = np.flatnonzero(buffer[:-2] == ord("%"))
    return percents[_IS_NESTING[buffer[percents + 1], buffer[percents + 2]]]
