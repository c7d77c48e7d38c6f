"""The command `explain`: explains one record rule by rule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from etl.cli import options

if TYPE_CHECKING:
    from etl.privacy.addresses import ShownText
    from etl.reports.explain.explanation import Explanation, Line, ParameterUse, Step


@options.with_options(*options.READING, "default_currency", "account", "integration", "pii", "ruleset")
def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A URL, query string, JSON payload or line of a log; - for one on standard input; FILE:LINE, where"
            " LINE is the record's number; STORE:CONVERSION_ID for a row of a run, a warehouse or an export.",
        ),
    ],
    *,
    typed: options.Typed,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Explain rule by rule what one record becomes.

    Each statement ends with its source: a section of AnyTrack's page, or a rule that `postback-etl rules` shows.
    """
    from etl.cli import terminal
    from etl.reports.explain import explain as explained

    request = typed.request([], Path())
    explanation = explained(what, request.reading, request.ruleset, request.options)
    if as_json:
        terminal.write_json(explanation.as_data())
    elif terminal.is_terminal():
        _print_tables(explanation)
    else:
        _print_lines(explanation)


def _print_lines(explanation: Explanation) -> None:
    """Prints one statement per line, never folded, for pipes and files."""
    from etl.cli.terminal import write_line

    def write(title: str, lines: list[str]) -> None:
        write_line(title)
        for line in lines or ["none"]:
            write_line(f"  {line}")

    write("record", [_sentence(line) for line in explanation.record.lines])
    if explanation.parameters:
        write(
            "parameters",
            [f"{use.parameter} = {use.value} -> {_becomes(use)} [{use.source}]" for use in explanation.parameters],
        )
    for step in explanation.steps:
        write(step.name, [_sentence(line) for line in step.lines])
    for table, rows in explanation.tables.items():
        for row in rows:
            write(f"row of {table}", [f"{name}: {value}" for name, value in _cells(row)])
    if explanation.notes:
        write("notes", list(explanation.notes))


def _sentence(line: Line[ShownText]) -> str:
    """Formats a statement as one line of text."""
    value = "-" if line.value is None else line.value
    return f"{line.what}: {value}" + (f" ({line.why})" if line.why else "") + f" [{line.source}]"


def _becomes(use: ParameterUse[ShownText]) -> str:
    """Describes how a parameter is used."""
    from etl.reports.explain.wording import USE

    words = USE[use.use].words
    if use.use == "lost":
        words = f"{use.instead} fills the field"
    elif use.instead:
        words += f", but {use.instead} is"
    return f"{use.folded} -> {use.field or 'nothing'}: {words}"


def _cells(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Formats the columns of a row that are not null: (name, text)."""
    from etl.reports.explain.steps import plain

    cells = []
    for name, value in row.items():
        if name == "issues":
            cells.append((name, ", ".join(issue["code"] for issue in value) or "none"))
        elif isinstance(value, list):
            cells.append((name, ", ".join(map(str, value))))
        elif value is not None:
            cells.append((name, plain(value) or ""))
    return cells


#: Styles by the title of a step or the subject of a line.
_STYLES: Final = {"issues": "yellow", "conversion": "bold green", "rejection": "bold red", "skipped": "bold"}


def _print_tables(explanation: Explanation) -> None:
    """Prints tables that fold at the terminal's width."""
    from etl.cli.terminal import console, print_grid, styled

    screen = console()

    def print_step(step: Step[ShownText]) -> None:
        rows = [
            (
                styled(line.what, "cyan"),
                styled("-" if line.value is None else line.value),
                _reason(line.why, line.source),
            )
            for line in step.lines
        ]
        print_grid(screen, step.name, rows or [(styled("none", "dim"), styled(""), styled(""))], (22, 26, 0))

    print_step(explanation.record)
    if explanation.parameters:
        uses = [
            (styled(use.parameter, "cyan"), styled(use.value), _reason(_becomes(use), use.source))
            for use in explanation.parameters
        ]
        print_grid(screen, "parameters", uses, (22, 26, 0))
    for step in explanation.steps:
        print_step(step)
    for table, rows in explanation.tables.items():
        for row in rows:
            cells = [(styled(name, "cyan"), styled(value)) for name, value in _cells(row)]
            print_grid(screen, f"row of {table}", cells, (22, 0))
    for note in explanation.notes:
        screen.print(styled(f"note: {note}", "yellow"))


def _reason(why: str, source: str) -> Any:
    """Styles a reason and its source as one text."""
    from etl.cli.terminal import styled

    return styled(f"{why} " if why else "").append_text(styled(f"[{source}]", "dim"))
