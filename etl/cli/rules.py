"""`rules`: the rules that outputs cite, from the product's own document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from etl.rules.rulings import Block, Rows, Rulebook, Ruling

#: In a paragraph, the literal texts between backticks, which a terminal shows in colour instead.
_LITERAL: Final = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


def rules(
    number: Annotated[
        str | None,
        typer.Argument(metavar="NUMBER", help="A ruling such as 6.2, or a section such as 6; by default the list."),
    ] = None,
) -> None:
    """Show the rules that outputs cite.

    They are the rules of AnyTrack's Custom Integration endpoint, by its public page, and this tool's answers to the
    questions that the page leaves open. The tool has no affiliation with AnyTrack.
    """
    from etl.errors import UsageError
    from etl.reports.rulebook import read_rulebook
    from etl.rules.rulings import Ruling

    book = read_rulebook()
    if number is None:
        _print_list(book)
        return
    entry = book.entries.get(number)
    if entry is None:
        nearest = book.entries[book.nearest(number)]
        raise UsageError(
            f"There is no rule {number!r}.",
            f"The nearest is {nearest.number}, {nearest.title!r}; `postback-etl rules` lists all.",
        )
    if isinstance(entry, Ruling):
        _print_ruling(entry)
        return
    _print_heading(f"{entry.number}. {entry.title}")
    _print_text(entry.text)
    for ruling in entry.rulings:
        _print_ruling(ruling)


def _print_list(book: Rulebook) -> None:
    from etl.cli.terminal import print_facts

    for section in book.sections:
        print_facts(f"{section.number}. {section.title}", [(one.number, one.title) for one in section.rulings], {}, 6)


def _print_ruling(ruling: Ruling) -> None:
    _print_heading(f"{ruling.number} {ruling.title}")
    _print_text(ruling.text)


def _print_heading(title: str) -> None:
    from etl.cli.terminal import console, is_terminal, styled, write_line

    if is_terminal():
        console().print(styled(title, "bold"), end="\n\n")
    else:
        write_line(title)
        write_line()


def _print_text(text: str) -> None:
    """Prints a text: wrapped on a terminal; elsewhere, each paragraph, list item or table row is one line."""
    from etl.cli.terminal import is_terminal
    from etl.reports.rulebook import code_tables
    from etl.rules.rulings import blocks_of

    blocks = blocks_of(text, code_tables())
    if is_terminal():
        _print_blocks(blocks)
    else:
        _write_blocks(blocks)


def _print_blocks(blocks: tuple[Block, ...]) -> None:
    from rich.padding import Padding
    from rich.table import Table

    from etl.cli.terminal import console

    screen = console()
    for i, block in enumerate(blocks):
        if block.kind == "paragraph":
            screen.print(_coloured(block.text))
        else:
            is_item = block.kind == "item"
            rows = (("-", block.text),) if is_item else block.rows[1:]
            grid = Table(*(() if is_item else block.rows[0]), show_header=not is_item, box=None, pad_edge=False)
            for row in rows:
                grid.add_row(*map(_coloured, row))
            screen.print(Padding(grid, (0, 0, 0, 2)))
        if block.kind != "item" or blocks[i + 1 : i + 2] == () or blocks[i + 1].kind != "item":
            screen.print()


def _coloured(text: str) -> Any:
    from etl.cli.terminal import shown

    seen, place = shown(""), 0
    for match in _LITERAL.finditer(text):
        seen.append(text[place : match.start()])
        seen.append(match[1] or match[2], style="cyan" if match[1] else "bold")
        place = match.end()
    return seen.append(text[place:])


def _write_blocks(blocks: tuple[Block, ...]) -> None:
    from etl.cli.terminal import write_line

    for i, block in enumerate(blocks):
        if block.kind == "table":
            for line in _aligned(block.rows):
                write_line(line)
        else:
            write_line(f"- {block.text}" if block.kind == "item" else block.text)
        if block.kind != "item" or blocks[i + 1 : i + 2] == () or blocks[i + 1].kind != "item":
            write_line()


def _aligned(rows: Rows) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
