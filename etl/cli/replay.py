"""The command `replay`: judges a warehouse's rejections again, with other rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from etl.cli import messages, options, terminal
from etl.cli.load import Into
from etl.errors import plural


@options.with_options("ruleset", "collect_path")
def replay(
    into: Into,
    reason: Annotated[
        list[str] | None, typer.Option(metavar="REASON", help="Replay only rejections with this reason; repeatable.")
    ] = None,
    *,
    typed: options.Typed,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON; - is standard output.")
    ] = None,
    events: options.Events = options.EventsMode.TEXT,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Judge a warehouse's rejections again from their raw records; rejections that pass become conversions."""
    from etl.cli.progress import ignore_signals_once_publishing, report_progress
    from etl.cli.summary import write_summary
    from etl.errors import InterruptedRunError
    from etl.warehouse.replay import replay as replayed

    rules = typed.request([], Path()).ruleset
    try:
        with report_progress(is_quiet=quiet) as progress:
            report = replayed(
                into, rules, reason or (), is_dry_run=dry_run, progress=ignore_signals_once_publishing(progress)
            )
    except KeyboardInterrupt as error:
        raise InterruptedRunError from error
    if summary is not None:
        write_summary(report, summary)
    lines = _shown(report)
    if dry_run:
        for line in lines:
            terminal.write_line(line)
    messages.say("done", *([] if quiet or dry_run else lines), **report)


def _shown(report: dict[str, Any]) -> list[str]:
    """Lists the outcomes of the rejections, and the rejections that pass by input and reason."""
    lines = [
        f"{plural(report['judged'], 'rejection')} judged by {report['ruleset']['name']}: {report['passed']:,} pass, "
        + "{changed:,} with another reason, {skipped:,} skipped, {same:,} as before".format(**report)
    ]
    lines += [f"  {entry['count']:,} left: {entry['why']}" for entry in report["left"]]
    lines += [_line(entry) for entry in report["inputs"][:20]]
    many = len(report["inputs"]) - 20
    lines += [f"  and {many:,} more; --summary shows all"] if many > 0 else []
    if report["demoted"] or report["promoted"]:
        lines.append(
            "  of earlier rows, {demoted:,} become duplicates and {promoted:,} become conversions".format(**report)
        )
    return lines


def _line(entry: dict[str, Any]) -> str:
    """Formats how many rejections of an input pass, with duplicates and money."""
    duplicates = f", {entry['duplicates']:,} of them duplicates" if entry["duplicates"] else ""
    by_event = entry["value_by_event"]
    money = "".join(
        f", {f'{event} ' if len(by_event) > 1 else ''}{currency or 'no currency'} {value}"
        for event, sums in by_event.items()
        for currency, value in sums.items()
    )
    return f"  {entry['path']}: {entry['passed']:,} of {entry['reason']} pass{duplicates}{money}"
