r"""Rows of tables: where the cells of one stand in its text, what each holds, and how what it holds is written.

A `Layout` says all that a row alone does not: the grammar that it follows and what its columns are called.
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
    """How the rows of a kind of table are written.

    Attributes:
        spans: Where the cells of a row stand, of which the columns are called so; None where that cannot be told.
        read: What a cell holds, as text; bytes that are not UTF-8 as `surrogateescape` has them.
        written: A text as a cell, in the manner of the cell whose place it takes.
        decoded: What a name or value stands for that is percent-encoded in a cell.
    """

    spans: Callable[[bytes, tuple[str, ...]], Spans | None]
    read: Callable[[bytes], str]
    written: Callable[[str, bytes], str]
    decoded: Callable[[str], str] = unquote_plus


class Layout(NamedTuple):
    """The name of a row's grammar, and the names of its columns; none where they have none."""

    kind: str
    names: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """It as one text, to stand in a column of a frame.

        Examples:
            >>> Layout("csv", ("click_id", "phone")).text
            '["csv","click_id","phone"]'
        """
        return json_codec.compact([self.kind, *self.names])

    @property
    def grammar(self) -> Grammar:
        """The grammar of that name."""
        return GRAMMARS[self.kind]

    def columns_of(self, texts: list[str]) -> list[tuple[str, ...]]:
        """Of each cell of a row the columns that it may belong to, the one at its place first.

        Of a row that is wider or narrower than the table nobody knows where a cell is too many, or amiss.

        Examples:
            >>> Layout("csv", ("a", "b", "c")).columns_of(["1", "2"])
            [('a', 'b'), ('b', 'c')]
            >>> Layout("csv", ("a", "b")).columns_of(["1", "2", "3"]), Layout("csv", ("a",)).columns_of(["1", ""])
            ([('a',), ('b', 'a'), ('', 'b')], [('a',), ('',)])
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
    """The layout that a text tells.

    Examples:
        >>> layout_of('["csv","click_id","phone"]').names
        ('click_id', 'phone')
    """
    kind, *names = json_codec.parse(text.encode())
    return Layout(kind, tuple(names))


def _delimited_spans(delimiter: str, row: bytes, _names: tuple[str, ...]) -> Spans:
    return [match.span(1) for match in _cell_pattern(delimiter).finditer(row)]


@lru_cache(maxsize=8)
def _cell_pattern(delimiter: str) -> re.Pattern[bytes]:
    """A cell and the mark before it; a quote that nothing closes goes on to the end."""
    mark = re.escape(delimiter.encode())
    return re.compile(rb"(?:\A|" + mark + rb')((?:"(?:[^"]++|"")*+(?:"|\Z))?+[^' + mark + rb"]*+)")


def _unquoted_cell(cell: bytes) -> str:
    within = _QUOTED.match(cell)
    text = within[1].replace(b'""', b'"') + cell[within.end() :] if within else cell
    return text.decode("utf-8", "surrogateescape")


def _quoted_cell(delimiter: str, text: str, cell: bytes) -> str:
    is_quoted = cell[:1] == b'"' or text[:1] == '"' or any(mark in text for mark in (delimiter, "\n", "\r"))
    return _in_quotes(text) if is_quoted else text


def _in_quotes(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


_QUOTED: Final = re.compile(rb'"((?:[^"]++|"")*+)(?:"|\Z)')

_COPY_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_CONTROLS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_COPY_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\"} | {char.decode(): f"\\{code.decode()}" for code, char in _CONTROLS.items()}
)


def copy_cells(line: bytes) -> list[str]:
    r"""The cells of a row that COPY wrote; `\N`, which is null, as nothing.

    Examples:
        >>> copy_cells(rb"a\\b\tc"), copy_cells(rb"\N")
        (['a\\b\tc'], [''])
    """
    return [_copied_text(cell) for cell in line.split(b"\t")]


def _copied_text(cell: bytes) -> str:
    return "" if cell == b"\\N" else _COPY_ESCAPE.sub(_copied, cell).decode("utf-8", "surrogateescape")


def _copied(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code.isdigit():
        return bytes([int(code, 8) & 0xFF])
    return _CONTROLS.get(code, code)


def _tabbed_spans(row: bytes, _names: tuple[str, ...] = ()) -> Spans:
    marks = [-1, *(i for i, byte in enumerate(row) if byte == ord("\t")), len(row)]
    return [(begin + 1, end) for begin, end in pairwise(marks)]


def w3c_spans(row: bytes, names: tuple[str, ...]) -> Spans | None:
    """Where the values of a W3C line stand; None where there are fewer of them than fields.

    Blanks within the query of a line with too many words are its own.

    Args:
        row: The line.
        names: Of the fields, in lower case.

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
    """What a value of a W3C line holds, without the quotes around it."""
    is_quoted = _is_in_quotes(value)
    return (value[1:-1].replace(b'""', b'"') if is_quoted else value).decode("utf-8", "surrogateescape")


def _w3c_value(text: str, value: bytes) -> str:
    return _in_quotes(text) if _is_in_quotes(value) else text


def _is_in_quotes(value: bytes) -> bool:
    return len(value) > 1 and value[:1] == value[-1:] == b'"'


W3C_TOKEN: Final = re.compile(rb'"(?:[^"]|"")*"(?=[ \t]|$)|[^ \t]+')
_TABBED: Final = re.compile(rb"\d{4}-\d\d-\d\d\t\d\d:\d\d:\d\d\t")
_DOUBLED: Final = re.compile("%25([0-9A-Fa-f]{2})")


def _decoded_twice(text: str) -> str:
    """What CloudFront wrote with each `%` as `%25`."""
    return unquote_plus(_DOUBLED.sub(r"%\1", text))


_W3C: Final = Grammar(w3c_spans, lambda value: "" if value == b"-" else w3c_text(value), _w3c_value)

GRAMMARS: Final = {
    **{
        name: Grammar(partial(_delimited_spans, mark), _unquoted_cell, partial(_quoted_cell, mark))
        for name, mark in DELIMITERS.items()
    },
    "postgres_copy": Grammar(_tabbed_spans, _copied_text, lambda text, _cell: text.translate(_COPY_ESCAPES)),
    "w3c": _W3C,
    "cloudfront": _W3C._replace(decoded=_decoded_twice),
}


class RowPatterns(NamedTuple):
    """Patterns of a whole row, and of the rest of one that began within quotes on a line before."""

    whole: re.Pattern[bytes]
    rest: re.Pattern[bytes]


@lru_cache(maxsize=8)
def row_patterns(delimiter: str) -> RowPatterns:
    """The patterns of rows whose cells a delimiter divides; a quote counts where it begins a cell."""
    mark = re.escape(delimiter.encode())
    bare = rb"[^" + mark + rb"]*+"
    cells = rb"(?:" + mark + rb'(?>"(?:[^"]++|"")*+"' + bare + rb'|(?!")' + bare + rb"))*+"
    quoted = rb'(?:[^"]++|"")*+"' + bare
    return RowPatterns(
        re.compile(rb'(?>"' + quoted + rb'|(?!")' + bare + rb")" + cells, re.DOTALL),
        re.compile(quoted + cells, re.DOTALL),
    )
