"""The command `audit`: reports where attribution is lost, from the tables of a run, a warehouse or an export."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etl.cli import options

if TYPE_CHECKING:
    from etl.reports.audit.catalogue import ReportSection
    from etl.reports.audit.report import Report


def audit(
    store: options.Store,
    answers: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="NAME", help="Show the tables of an answer, or of all; repeatable."),
    ] = None,
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone of days and hours.")] = "UTC",
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only postbacks from this time on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only postbacks before this time.")] = None,
    ruleset: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="The run's ruleset, if it was a file.")
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Show at most N rows of a table; 0 shows all. By default 10, and all in a pipe."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write all rows as JSON instead of tables.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the report as an HTML page with charts.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Write nothing to standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Report where attribution is lost: as tables, as JSON or as an HTML page."""
    from etl.cli.terminal import is_terminal, write_json
    from etl.options import instant_of
    from etl.reports.audit.report import as_json, make_report
    from etl.warehouse.stores import Period

    if html is not None:
        from etl.reports.audit.html_page import check_library, write_page

        check_library()
    period = Period(instant_of("--since", since), instant_of("--until", until))
    chosen = tuple(name for name in answers or () if name != "all")
    report = make_report(store, ruleset, timezone, chosen, period)
    if html is not None:
        write_page(report, html, _resendable())
    if quiet:
        return
    if json:
        write_json(as_json(report))
    elif answers:
        print_report(report, (10 if is_terminal() else 0) if rows is None else rows)
    else:
        print_overview(report)


def print_overview(report: Report) -> None:
    """Prints what is lost on one screen: a finding with its money and cure each, the most money first."""
    from etl.cli.terminal import shown, table_console
    from etl.errors import plural
    from etl.reports.audit.question import ALL_AMOUNTS, money_text

    out = table_console()
    for note in report.notes:
        out.print(shown(f"note: {note}", "yellow"))
    funnel = report.sections[0]
    out.print(shown(funnel.sentences[1 if funnel.rank else 0]))
    if report.at_stake:
        whole = [{**amount, "by_event": []} for amount in report.at_stake]
        out.print(shown(f"At stake is at most {money_text(whole, ALL_AMOUNTS)}.", "bold"))
    for section in report.findings:
        out.print()
        records = plural(section.lost, "record") if section.lost else ""
        lost = ", ".join(filter(None, (records, money_text(section.money, ALL_AMOUNTS))))
        out.print(shown(": ".join(filter(None, (_heading(section), lost))), "bold cyan"))
        out.print(shown(section.sentences[0]))
        out.print(shown(f"Cure: {section.cure}", "green"))
    nothing = ", ".join(section.answer.title for section in report.sections if not section.rank)
    out.print()
    if nothing:
        out.print(shown(f"No loss was found in: {nothing}.", "dim"))
    first = report.findings[0] if report.findings else funnel
    store = shlex.quote(report.store)
    out.print(shown(f"Tables and examples: postback-etl audit {store} --answer {first.answer.key}", "dim"))
    known = _resendable() - {funnel.answer.key}
    curable = [one.answer.key for one in report.findings if one.answer.key in known]
    if curable:
        out.print(
            shown(f"Send again what was lost: postback-etl resend {store} --finding {curable[0]} --out FILE", "dim")
        )


def _resendable() -> set[str]:
    """The keys of answers whose records `resend` can send again."""
    from etl.reports.resend.lost_records import LOSSES

    return {row.answer for row in LOSSES}


def _heading(section: ReportSection) -> str:
    """Names an answer for people, and by the key that --answer takes."""
    return f"{section.answer.title} ({section.answer.key})"


def print_report(report: Report, rows: int) -> None:
    """Prints every answer: its sentences, and its frames except heat maps and the frame by integration and day."""
    from etl.cli.terminal import print_frame, shown, table_console

    out = table_console()
    for note in report.notes:
        out.print(shown(f"note: {note}", "yellow"))
    for section in report.sections:
        out.print()
        out.print(shown(_heading(section), "bold cyan"))
        for sentence in section.sentences:
            out.print(shown(sentence))
        if section.rank:
            out.print(shown(f"Cure: {section.cure}", "green"))
        for example in section.examples:
            out.print(shown(f"Open an example: postback-etl explain {shlex.quote(f'{report.store}:{example}')}", "dim"))
        for sheet in section.sheets:
            is_drawn_only = sheet.chart is not None and sheet.chart.kind == "heat_map"
            if not is_drawn_only and sheet.key != "by_integration_and_day":
                is_whole = sheet.key == "whole"
                table = sheet.rows.drop("measure") if is_whole else sheet.rows
                print_frame(out, sheet.title, table, 0 if is_whole else rows, is_latest=sheet.key == "by_day")
        if section.answer.unknown:
            out.print()
            out.print(shown(f"Limits: {section.answer.unknown}", "dim"))
