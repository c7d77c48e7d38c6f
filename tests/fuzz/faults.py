"""Faults, and what breaks a law: kinds of faults, and personal texts in what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import polars as pl

from etl.steps.pipeline import Tables


class Fault(NamedTuple):
    """A law that a case breaks.

    Attributes:
        law: `crash`, `lost`, `slow`, `leak` or `differs`.
        where: What broke it: the place of an exception, the kind of a case. Two faults with the same law and place
            count as one.
        detail: What was seen.
    """

    law: str
    where: str
    detail: str


class BrokenLawError(Exception):
    """A law is broken: the arguments are the law, the place, and what was seen."""


def hold(is_kept: object, law: str, where: str, detail: object = "") -> None:
    """Raises unless the law is kept."""
    if not is_kept:
        raise BrokenLawError(law, where, str(detail)[:600])


# --- personal texts ---------------------------------------------------------------------------------------------

#: An address of a person of `sentinels`, and another personal text right behind the name that announces it.
_ADDRESS: Final = re.compile(rb"wxv[0-9]{5}\.zq@example\.com", re.IGNORECASE)
_NAMED: Final = re.compile(
    rb"(?:^|[?&{,;\s\"])\"?(?:first_?name|last_?name|full_?name|city|zipcode)(?:=|\"\s?:\s?\"?)Zqwx[a-z]{2}[0-9]{5}"
)
#: An escape of JSON or of a log; nothing writes the percent sign of another escape so.
_ESCAPED: Final = re.compile(rb"(?<!\\)\\+(?:u00|x)(?!25)([0-9a-fA-F]{2})")


def left_in(text: bytes, *, is_named: bool = True) -> bytes | None:
    """A personal text that a text shows, as it is or percent-encoded or escaped up to twice; or only an address."""
    for _ in range(3):
        found = _ADDRESS.search(text) or (_NAMED.search(text) if is_named else None)
        if found:
            return text[max(0, found.start() - 80) : found.end() + 20]
        text = _ESCAPED.sub(lambda match: bytes((int(match[1], 16),)), unquote_to_bytes(text))
    return None


def hold_private(texts: Iterator[tuple[str, bytes]], *, is_named: bool = True) -> None:
    """Holds that none of the texts, each with the name of its place, shows a personal text."""
    for where, text in texts:
        left = left_in(text, is_named=is_named)
        hold(left is None, "leak", where, left)


def texts_of(tables: Tables) -> Iterator[tuple[str, bytes]]:
    """The texts of the tables of a batch, by table and column."""
    for name in ("conversions", "items", "passthroughs", "rejections", "unrecognised"):
        yield from cells_of(name, getattr(tables, name))


def cells_of(name: str, rows: pl.DataFrame) -> Iterator[tuple[str, bytes]]:
    """The texts of a table, by column."""
    for column in rows:
        if column.dtype == pl.String:
            yield f"{name}.{column.name}", "\n".join(column.drop_nulls().unique()).encode("utf-8", "replace")
        elif column.dtype.is_nested():
            yield f"{name}.{column.name}", str(column.to_list()).encode("utf-8", "replace")
