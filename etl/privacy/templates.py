"""Spans of a buffer to be written anew: each distinct text once, and only where it may hold what matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar.factorize import numbered
from etl.columnar.string_buffers import Bytes, Positions, Splices, texts_of

#: No more bytes lie between the first and the third dot of an IPv4 address, or the first and the seventh colon of IPv6.
_THREE_DOTS: Final = 8
_SEVEN_COLONS: Final = 30


class Templates(NamedTuple):
    """Spans of a buffer, and the template of what takes the place of each: the templates, and the number of its."""

    starts: Positions
    ends: Positions
    templates: list[str]
    numbers: Positions


def templates_of(buffer: Bytes, starts: Positions, ends: Positions, write: Callable[[str], str]) -> Templates:
    """Templates of spans, each distinct text written once; of those that change.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each span.
        ends: One past the last byte of each span.
        write: Gives the template of a text.
    """
    texts, numbers = numbered(texts_of(buffer, starts, ends))
    templates = [write(text) for text in texts]
    is_changed = np.array([one != text for one, text in zip(templates, texts, strict=True)], np.bool_)
    index = np.flatnonzero(is_changed[numbers.to_numpy()])
    return Templates(starts[index], ends[index], templates, numbers.to_numpy()[index].astype(np.int64))


def filled_in(written: list[Templates], fill: Callable[[list[str]], pl.Series]) -> list[Splices]:
    """What takes the place of the spans, once the templates are filled, those of all parts together."""
    texts = fill([template for one in written for template in one.templates])
    first = np.cumsum([0, *(len(one.templates) for one in written)])
    return [
        Splices(one.starts, one.ends, texts.gather(one.numbers + before))
        for one, before in zip(written, first[:-1], strict=True)
    ]


def address_places(buffer: Bytes) -> Positions:
    """Places within whatever may be an e-mail or IP address: none is without one.

    Examples:
        >>> address_places(np.frombuffer(b"jo@a jo%40a 1.2, but 1.2.3.4 ::1 12:30:00", np.uint8)).tolist()
        [2, 7, 22, 29]
    """
    dots, colons, percents = (np.flatnonzero(buffer == ord(mark)) for mark in ".:%")
    percents = percents[percents + 2 < len(buffer)]
    return np.concatenate(
        [
            np.flatnonzero(buffer == ord("@")),
            percents[(buffer[percents + 1] == ord("4")) & (buffer[percents + 2] == ord("0"))],
            dots[:-2][dots[2:] - dots[:-2] <= _THREE_DOTS],
            colons[:-1][colons[1:] - colons[:-1] == 1],
            colons[:-6][colons[6:] - colons[:-6] <= _SEVEN_COLONS],
        ]
    )
