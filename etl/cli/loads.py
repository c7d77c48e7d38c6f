"""The commands `loads`: list, show or forget the inputs in a warehouse, verify it, drop what is personal and old."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from etl.cli import messages, options, terminal
from etl.cli.forget_person import lines_of_tables, say_what_stays
from etl.cli.load import Into
from etl.errors import plural

loads = typer.Typer(
    no_args_is_help=True,
    help="List, show or forget the inputs in a warehouse; verify it; drop what is personal and old.",
    add_completion=False,
)
Named = Annotated[
    str, typer.Argument(metavar="INPUT", help="A part of an input's name, or the beginning of its digest.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


@loads.command("list")
def list_(into: Into, json: AsJson = False) -> None:
    """List the inputs, one per line: digest, records, time of the load, name, and the version of older rules."""
    from etl.rules.ruleset import RULES_VERSION
    from etl.warehouse.load_history import list_loads

    rows = list_loads(into)
    if json:
        _echo(rows)
        return
    for row in rows:
        older = f"  (rules {row['rules_version']})" if row["rules_version"] < RULES_VERSION else ""
        terminal.write_line(
            f"{row['digest'][:12]}  {row['records']:>10,}  {row['loaded_at']:%Y-%m-%d %H:%M:%S}  {row['source']}{older}"
        )


@loads.command()
def show(named: Named, into: Into, json: AsJson = False) -> None:
    """Show everything that is recorded about an input."""
    from etl.warehouse.load_history import describe_load

    row = describe_load(into, named)
    if json:
        _echo(row)
        return
    for name, value in row.items():
        terminal.write_line(f"{name:<18} {_value_text(value)}")


@loads.command()
def forget(
    named: Named,
    into: Into,
    events: options.Events = options.EventsMode.TEXT,
    debug: options.Debug = False,
) -> None:
    """Remove an input; rows that were duplicates only because of it become conversions again."""
    from etl.cli.progress import unshown
    from etl.warehouse.maintenance import forget as forget_input

    done = forget_input(named, into, unshown())
    promoted = plural(done["promoted"], "duplicate is a conversion", "duplicates are conversions")
    text = f"forgot {done['names'][0]} ({done['digest'][:12]}); {promoted} now"
    messages.say("done", text, **done)


@loads.command()
def verify(into: Into, json: AsJson = False) -> None:
    """Check that the warehouse is consistent; list the problems and exit 4 if it is not."""
    from etl.warehouse.verify import verify as findings_of

    findings = findings_of(into)
    if json:
        _echo([finding._asdict() for finding in findings])
    else:
        for line in [f"{finding.check}: {finding.message}" for finding in findings] or ["no problems found"]:
            terminal.write_line(line)
    if findings:
        raise typer.Exit(4)


@loads.command()
def retention(
    period: Annotated[str, typer.Argument(metavar="DAYS", help="How long what is personal stays, such as 400d.")],
    into: Into,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be dropped, and drop nothing.")] = False,
    events: options.Events = options.EventsMode.TEXT,
    debug: options.Debug = False,
) -> None:
    """Drop raw records and personal columns that are older than a number of days; rows, ids and amounts stay."""
    from etl.cli.progress import unshown
    from etl.warehouse.retention import read_period, retain

    report = retain(into, read_period(period), is_dry_run=dry_run, progress=unshown())
    for line in lines_of_tables(report["tables"]):
        terminal.write_line(line)
    messages.say("done", **report)
    if report["run_id"]:
        say_what_stays(into)


def _entry_text(value: Any) -> str:
    """Formats an entry of a list: a replay, a count by reason, or any other value."""
    if not isinstance(value, dict):
        return str(value)
    if "replayed_at" in value:
        return "{replayed_at:%Y-%m-%d %H:%M:%S} by {ruleset}: {passed:,} passed, {changed:,} changed".format(**value)
    return f"{value.get('reason') or value['name']} {value['count']:,}"


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_entry_text(entry) for entry in value) or "-"
    return "-" if value is None else str(value)


def _echo(value: Any) -> None:
    """Prints a value as JSON."""
    import orjson

    terminal.write_document(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
