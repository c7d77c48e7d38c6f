"""Shows results in notebooks as HTML, in which every text of a stranger is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import polars as pl

from etl.errors import visible


def as_html(title: str, sentences: Iterable[str], frames: Iterable[tuple[str, pl.DataFrame]] = ()) -> str:
    """Returns a title, sentences, and titled frames that have rows, as HTML."""
    lines = "".join(f"<li>{escape(visible(sentence))}</li>" for sentence in sentences)
    tables = "".join(
        f"<p><b>{escape(visible(name))}</b></p>{frame._repr_html_()}" for name, frame in frames if frame.height
    )
    return f"<h3>{escape(visible(title))}</h3><ul>{lines}</ul>{tables}"


class Summary(dict[str, Any]):
    """The summary or report of a command as plain data, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        rows = [(name, _text(value)) for name, value in self.items()]
        return as_html("Summary", (), [("", pl.DataFrame(rows, schema=["name", "value"], orient="row"))])


class Rows(list[Any]):
    """Results of one kind, which a notebook shows as a table of their plain data."""

    def _repr_html_(self) -> str:
        plain = [row.as_data() if hasattr(row, "as_data") else row._asdict() for row in self]
        names = list(dict.fromkeys(name for row in plain for name in row))
        cells = [[_text(row.get(name)) for name in names] for row in plain]
        return as_html(f"{len(self):,} results", (), [("", pl.DataFrame(cells, schema=names, orient="row"))])


def _text(value: Any) -> str:
    """Formats a value of plain data in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return "" if value is None else f"{value:,}" if is_count else visible(str(value))
