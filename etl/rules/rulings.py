"""The document of the rules as data: sections, their rulings, and the blocks of a text. Text in, rulings out.

The document is Markdown. A section begins with `## 6. Title`, a ruling with `### 6.2 Title`. The text before the first
section is the introduction. A line `<!-- table: NAME -->` stands for a table that is made from the code's rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

#: The rows of a table, its header first.
Rows = tuple[tuple[str, ...], ...]

_SECTION: Final = re.compile(r"^## ([0-9]+)\. (.+)$", re.MULTILINE)
_RULING: Final = re.compile(r"^### ([0-9]+\.[0-9]+[a-z]?) (.+)$", re.MULTILINE)
_PLACE: Final = re.compile(r"<!-- table: (\w+) -->")
_NUMBER: Final = re.compile(r"([0-9]+)(?:\.([0-9]+)([a-z]?))?")


class Ruling(NamedTuple):
    """One ruling: its number, its title, its text in Markdown, and the title of its section."""

    number: str
    title: str
    text: str
    section: str


class Section(NamedTuple):
    """One section: its number, its title, the text before its first ruling, its rulings in order."""

    number: str
    title: str
    text: str
    rulings: tuple[Ruling, ...]


class Rulebook(NamedTuple):
    """The whole document."""

    introduction: str
    sections: tuple[Section, ...]

    @property
    def entries(self) -> dict[str, Section | Ruling]:
        """Number -> section or ruling, in the order of the document."""
        entries: dict[str, Section | Ruling] = {}
        for section in self.sections:
            entries[section.number] = section
            entries |= {ruling.number: ruling for ruling in section.rulings}
        return entries

    def nearest(self, number: str) -> str:
        r"""The number of this document that is nearest to another number.

        Examples:
            >>> book = parse_rules("## 6. Time\n### 6.1 A\n### 6.2 B\n### 6.2a C\n## 7. Traits\n")
            >>> [book.nearest(number) for number in ("6.9", "6.2c", "12", "8.1", "time")]
            ['6.2', '6.2a', '7', '7', '6']
        """
        wanted = _place_of(number)
        return min(self.entries, key=lambda one: tuple(abs(a - b) for a, b in zip(_place_of(one), wanted, strict=True)))


class Block(NamedTuple):
    """A part of a text: a `paragraph` or an `item` of a list, on one line, or the rows of a `table`."""

    kind: str
    text: str = ""
    rows: Rows = ()


def parse_rules(document: str) -> Rulebook:
    r"""The sections and rulings of the document.

    Examples:
        >>> book = parse_rules("# Rules\nWhy.\n## 6. Time\nOf times.\n### 6.1 Received\nBy the log.\n")
        >>> book.introduction, book.entries["6.1"].title, book.entries["6"].text
        ('# Rules\nWhy.', 'Received', 'Of times.')
    """
    introduction, *parts = _SECTION.split(document)
    sections = []
    for number, title, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        text, *found = _RULING.split(body)
        named = zip(found[::3], found[1::3], found[2::3], strict=True)
        rulings = tuple(Ruling(name, what, words.strip(), title) for name, what, words in named)
        sections.append(Section(number, title, text.strip(), rulings))
    return Rulebook(introduction.strip(), tuple(sections))


def table_names(document: str) -> list[str]:
    """Returns the NAME of each placeholder `<!-- table: NAME -->` in the document."""
    return _PLACE.findall(document)


def with_tables(text: str, tables: Mapping[str, Rows]) -> str:
    """The text with Markdown tables in their places."""
    return _PLACE.sub(lambda place: markdown_table(tables[place[1]]), text)


def markdown_table(rows: Rows) -> str:
    r"""Rows as a table of Markdown.

    Examples:
        >>> markdown_table((("key", "values"), ("a", "`|`")))
        '| key | values |\n|---|---|\n| a | `\\|` |'
    """
    header, *body = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join([header, "|" + "---|" * len(rows[0]), *body])


def blocks_of(text: str, tables: Mapping[str, Rows]) -> tuple[Block, ...]:
    r"""The paragraphs, list items and tables of a text.

    Examples:
        >>> blocks = blocks_of("So\nit is:\n\n- one\n  item\n- two\n\n<!-- table: t -->", {"t": (("a",), ("1",))})
        >>> [block.text or block.rows for block in blocks]
        ['So it is:', 'one item', 'two', (('a',), ('1',))]
    """
    parts = re.split(r"\n\s*\n|\n(?=- )", with_tables(text, tables).strip())
    return tuple(_block(part.strip()) for part in parts if part.strip())


def _block(part: str) -> Block:
    if part.startswith("|"):
        rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in part.splitlines()]
        cells = [tuple(cell.strip().replace(r"\|", "|") for cell in row) for row in (rows[0], *rows[2:])]
        return Block("table", rows=tuple(cells))
    is_item = part.startswith("- ")
    return Block("item" if is_item else "paragraph", " ".join(part.removeprefix("- ").split()))


def _place_of(number: str) -> tuple[int, int, int]:
    match = _NUMBER.fullmatch(number)
    return (int(match[1]), int(match[2] or 0), ord(match[3]) - 96 if match[3] else 0) if match else (0, 0, 0)
