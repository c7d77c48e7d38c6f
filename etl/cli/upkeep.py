"""`compact` and `vacuum`: a warehouse's files in good order."""

from __future__ import annotations

from typing import Annotated

import typer

from etl.cli import messages, options
from etl.cli.load import Into


def compact(into: Into, events: options.Events = options.EventsMode.TEXT, debug: options.Debug = False) -> None:
    """Put small files of a warehouse together; no row changes."""
    from etl.warehouse.maintenance import compact as compacted

    for table in compacted(into):
        typer.echo(f"{table.table}: {table.before:,} files, now {table.after:,}")
    messages.say("done", None, warehouse=into)


def vacuum(
    into: Into,
    hours: Annotated[int, typer.Option(metavar="N", min=168, help="Keep what was needed so many hours ago.")] = 168,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    events: options.Events = options.EventsMode.TEXT,
    debug: options.Debug = False,
) -> None:
    """Remove files of a warehouse that neither its tables nor readers of the last week need; name them."""
    from etl.warehouse.maintenance import vacuum as vacuumed

    removed = vacuumed(into, hours, is_dry_run=dry_run)
    for path in removed:
        typer.echo(path)
    messages.say("done", None, warehouse=into, files=len(removed), is_dry_run=dry_run)
