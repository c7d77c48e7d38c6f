r"""Splits the rows of delimited tables into cells, and reads and writes the cells.

The grammars are CSV with three delimiters, PostgreSQL's COPY text, W3C logs and CloudFront logs. A `Layout` names the
grammar and the columns of a row, so that a row can be read without its table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from etl.columnar import json_codec

DELIMITERS: Final = {"csv": ",", "tsv": "\t", "semicolon": ";"}

Spans = list[tuple[int, int]]


class Grammar(NamedTuple):
    """The functions that read and write rows of one kind of table.

    Attributes:
        split: Returns the spans of a row's cells, given the names of the columns; None where the row does not fit.
        read: Returns the text of a cell; bytes that are not UTF-8 become `surrogateescape` surrogates.
        write: Writes a text as a cell, quoted like the cell that it replaces.
        decode: Decodes a percent-encoded name or value inside a cell.
    """

    split: Callable[[bytes, tuple[str, ...]], Spans | None]
    read: Callable[[bytes], str]
    write: Callable[[str, bytes], str]
    decode: Callable[[str], str] = unquote_plus


class Layout(NamedTuple):
    """The name of a row's grammar, and the names of its columns; no names for a table without a header."""

    kind: str
    names: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The layout as one JSON text, for a column of a frame; `layout_of` reads it back.

        Examples:
            >>> Layout("csv", ("click_id", "phone")).text
            '["csv","click_id","phone"]'
        """
        return json_codec.compact([self.kind, *self.names])

    @property
    def grammar(self) -> Grammar:
        """The grammar that `kind` names."""
        return GRAMMARS[self.kind]

    def possible_columns(self, texts: list[str]) -> list[tuple[str, ...]]:
        """Returns for each cell of a row the names of the columns it may belong to, the column at its position first.

        If a row has too many or too few cells, we cannot tell which is extra or missing, so each cell may belong to
        several columns.

        Examples:
            >>> Layout("csv", ("a", "b", "c")).possible_columns(["1", "2"])
            [('a', 'b'), ('b', 'c')]
            >>> Layout("csv", ("a", "b")).possible_columns(["1", "2", "3"])
            [('a',), ('b', 'a'), ('', 'b')]
            >>> Layout("csv", ("a",)).possible_columns(["1", ""])
            [('a',), ('',)]
        """
        width = len(self.names)
        surplus = max(0, len(texts) - width) if any(texts[width:]) else 0
        lacking = max(0, width - len(texts))
        own = (*self.names, *[""] * len(texts))
        return [
            (own[i], *self.names[max(0, i - surplus) : i], *self.names[i + 1 : i + 1 + lacking])
            for i in range(len(texts))
        ]


@lru_cache(maxsize=64)
def layout_of(text: str) -> Layout:
    """Reads a layout from the JSON text that `Layout.text` wrote.

    Examples:
        >>> layout_of('["csv","click_id","phone"]').names
        ('click_id', 'phone')
    """
    kind, *names = json_codec.parse(text.encode())
    return Layout(kind, tuple(names))


def _delimited_spans(delimiter: str, row: bytes, _names: tuple[str, ...]) -> Spans:
    """Returns the spans of the cells of a CSV row."""
    return [match.span(1) for match in _cell_pattern(delimiter).finditer(row)]


@lru_cache(maxsize=8)
def _cell_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Returns the pattern of a delimiter and the cell after it; an unclosed quote extends to the end of the row."""
    mark = re.escape(delimiter.encode())
    return re.compile(rb"(?:\A|" + mark + rb')((?:"(?:[^"]++|"")*+(?:"|\Z))?+[^' + mark + rb"]*+)")


def _unquoted_cell(cell: bytes) -> str:
    """Returns the text of a CSV cell, without its quotes and with doubled quotes halved."""
    within = _QUOTED.match(cell)
    text = within[1].replace(b'""', b'"') + cell[within.end() :] if within else cell
    return text.decode("utf-8", "surrogateescape")


def _quoted_cell(delimiter: str, text: str, cell: bytes) -> str:
    """Writes a text as a CSV cell; in quotes where the replaced cell has quotes or the text needs them."""
    is_quoted = cell[:1] == b'"' or text[:1] == '"' or any(mark in text for mark in (delimiter, "\n", "\r"))
    return _in_quotes(text) if is_quoted else text


def _in_quotes(text: str) -> str:
    """Returns a text in quotes, with its own quotes doubled."""
    return '"' + text.replace('"', '""') + '"'


_QUOTED: Final = re.compile(rb'"((?:[^"]++|"")*+)(?:"|\Z)')

_COPY_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_CONTROLS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_COPY_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\"} | {char.decode(): f"\\{code.decode()}" for code, char in _CONTROLS.items()}
)


def copy_cells(line: bytes) -> list[str]:
    r"""Splits a row of PostgreSQL's COPY text into the texts of its cells; `\N`, a null, becomes an empty text.

    Examples:
        >>> copy_cells(rb"a\\b\tc"), copy_cells(rb"\N")
        (['a\\b\tc'], [''])
    """
    return [_copy_text(cell) for cell in line.split(b"\t")]


def _copy_text(cell: bytes) -> str:
    r"""Returns the text of a cell of COPY text; an empty text for `\N`."""
    return "" if cell == b"\\N" else _COPY_ESCAPE.sub(_unescape, cell).decode("utf-8", "surrogateescape")


def _unescape(match: re.Match[bytes]) -> bytes:
    """Returns the bytes of one backslash escape of COPY text."""
    code = match[1]
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code.isdigit():
        return bytes([int(code, 8) & 0xFF])
    return _CONTROLS.get(code, code)


def _tabbed_spans(row: bytes, _names: tuple[str, ...] = ()) -> Spans:
    """Returns the spans between tabs."""
    marks = [-1, *(i for i, byte in enumerate(row) if byte == ord("\t")), len(row)]
    return [(begin + 1, end) for begin, end in pairwise(marks)]


def w3c_spans(row: bytes, names: tuple[str, ...]) -> Spans | None:
    """Returns the spans of the values of a W3C log line; None where the line has fewer values than fields.

    If a line has too many values, the surplus values are counted to the query, which may contain blanks.

    Args:
        row: The line.
        names: The names of the fields, in lower case.

    Examples:
        >>> w3c_spans(b'GET a=b c 200 "x y"', ("cs-method", "cs-uri-query", "sc-status", "x"))
        [(0, 3), (4, 9), (10, 13), (14, 19)]
    """
    spans = _tabbed_spans(row) if _TABBED.match(row) else [match.span() for match in W3C_TOKEN.finditer(row)]
    surplus = len(spans) - len(names)
    if surplus < 0:
        return None
    place = names.index("cs-uri-query") if "cs-uri-query" in names else -1
    if surplus and 0 <= place < len(names) - 1 and row[slice(*spans[place])] != b"-":
        spans[place : place + surplus + 1] = [(spans[place][0], spans[place + surplus][1])]
    return spans


def w3c_text(value: bytes) -> str:
    """Returns the text of a value of a W3C log line, without its quotes."""
    is_quoted = _is_in_quotes(value)
    return (value[1:-1].replace(b'""', b'"') if is_quoted else value).decode("utf-8", "surrogateescape")


def _w3c_cell(text: str, value: bytes) -> str:
    """Writes a text as a value of a W3C log line, in quotes if the replaced value has quotes."""
    return _in_quotes(text) if _is_in_quotes(value) else text


def _is_in_quotes(value: bytes) -> bool:
    return len(value) > 1 and value[:1] == value[-1:] == b'"'


W3C_TOKEN: Final = re.compile(rb'"(?:[^"]|"")*"(?=[ \t]|$)|[^ \t]+')
_TABBED: Final = re.compile(rb"\d{4}-\d\d-\d\d\t\d\d:\d\d:\d\d\t")
_DOUBLED: Final = re.compile("%25([0-9A-Fa-f]{2})")


def _decoded_twice(text: str) -> str:
    """Decodes a text in which CloudFront has encoded each `%` as `%25`."""
    return unquote_plus(_DOUBLED.sub(r"%\1", text))


_W3C: Final = Grammar(w3c_spans, lambda value: "" if value == b"-" else w3c_text(value), _w3c_cell)

GRAMMARS: Final = {
    **{
        name: Grammar(partial(_delimited_spans, mark), _unquoted_cell, partial(_quoted_cell, mark))
        for name, mark in DELIMITERS.items()
    },
    "postgres_copy": Grammar(_tabbed_spans, _copy_text, lambda text, _cell: text.translate(_COPY_ESCAPES)),
    "w3c": _W3C,
    "cloudfront": _W3C._replace(decode=_decoded_twice),
}


class RowPatterns(NamedTuple):
    """Pattern of a whole row, and pattern of the rest of a row whose open quote began on an earlier line."""

    whole: re.Pattern[bytes]
    rest: re.Pattern[bytes]


@lru_cache(maxsize=8)
def row_patterns(delimiter: str) -> RowPatterns:
    """Returns the patterns of rows with a delimiter; a quote counts only at the beginning of a cell."""
    mark = re.escape(delimiter.encode())
    bare = rb"[^" + mark + rb"]*+"
    cells = rb"(?:" + mark + rb'(?>"(?:[^"]++|"")*+"' + bare + rb'|(?!")' + bare + rb"))*+"
    quoted = rb'(?:[^"]++|"")*+"' + bare
    return RowPatterns(
        re.compile(rb'(?>"' + quoted + rb'|(?!")' + bare + rb")" + cells, re.DOTALL),
        re.compile(quoted + cells, re.DOTALL),
    )
