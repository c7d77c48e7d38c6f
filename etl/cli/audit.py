"""`audit`: where attribution is lost, from the tables of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from etl.reports.audit.report import Report


def audit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the four tables that run wrote.")],
    answers: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="NAME", help="Only this answer, such as lead_trap; may be repeated."),
    ] = None,
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Zone of days and hours.")] = "UTC",
    ruleset: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="The ruleset of the run, where that was a file.")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, metavar="N", help="Rows of a table on the terminal; 0 is all.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Every row as JSON, in place of tables.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as one page, with charts, too.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Answer where attribution is lost: as tables, as JSON, as one page."""
    from etl.cli.terminal import print_json
    from etl.reports.audit.report import as_json, make_report

    if html is not None:
        from etl.reports.audit.html_page import check_library, write_page

        check_library()
    report = make_report(folder, ruleset, timezone, tuple(answers or ()))
    if html is not None:
        write_page(report, html)
    if quiet:
        return
    if json:
        print_json(as_json(report))
    else:
        print_report(report, rows)


def print_report(report: Report, rows: int) -> None:
    """Every answer: what it says, and its frames but those that only a chart can show."""
    from rich.text import Text

    from etl.cli.terminal import print_frame, table_console
    from etl.errors import visible

    out = table_console()
    for note in report.notes:
        out.print(Text(f"note: {note}", style="yellow"))
    for section in report.sections:
        out.print(Text(f"\n{section.number}. {section.answer.title}", style="bold cyan"))
        for sentence in section.says:
            out.print(Text(visible(sentence)))
        for sheet in section.sheets:
            is_drawn_only = sheet.chart is not None and sheet.chart.kind == "heat_map"
            if not is_drawn_only and sheet.key != "by_integration_and_day":
                is_whole = sheet.key == "whole"
                shown = sheet.rows.drop("measure") if is_whole else sheet.rows
                print_frame(out, sheet.title, shown, 0 if is_whole else rows, is_latest=sheet.key == "by_day")
        if section.answer.unknown:
            out.print(Text(f"\nWhat cannot be told: {section.answer.unknown}", style="dim"))
