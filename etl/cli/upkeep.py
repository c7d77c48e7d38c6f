"""The commands `compact` and `vacuum`: join small files of a warehouse, and remove files that are not needed."""

from __future__ import annotations

from typing import Annotated

import typer

from etl.cli import messages, options, terminal
from etl.cli.load import Into
from etl.errors import plural


def compact(into: Into, events: options.Events = options.EventsMode.TEXT, debug: options.Debug = False) -> None:
    """Join small files of a warehouse; no row changes."""
    from etl.cli.progress import unshown
    from etl.warehouse.maintenance import compact as compacted

    for table in compacted(into, unshown()):
        terminal.write_line(f"{table.table}: {plural(table.before, 'file')}, now {table.after:,}")
    messages.say("done", warehouse=into)


def vacuum(
    into: Into,
    hours: Annotated[
        int, typer.Option(metavar="N", min=168, help="Keep files that were needed in the last N hours.")
    ] = 168,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files to remove, and remove nothing.")] = False,
    events: options.Events = options.EventsMode.TEXT,
    debug: options.Debug = False,
) -> None:
    """Remove and list files of a warehouse that neither its tables nor readers of the last N hours need."""
    from etl.warehouse.maintenance import vacuum as vacuumed

    removed = vacuumed(into, hours, is_dry_run=dry_run)
    for path in removed:
        terminal.write_line(path)
    files = plural(len(removed), "file")
    text = f"{files} would be removed" if dry_run else f"{files} removed"
    messages.say("done", text, warehouse=into, files=len(removed), is_dry_run=dry_run)
