"""The command `export`: writes a warehouse's tables as plain Parquet, for tools that cannot read Delta."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from etl.cli import messages, options, terminal
from etl.cli.load import Into
from etl.errors import plural


def export(
    into: Into,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of an earlier export, or a new folder.")],
    since: Annotated[str | None, typer.Option(metavar="DAY", help="Export only days from this day on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Export only days before this day.")] = None,
    events: options.Events = options.EventsMode.TEXT,
    debug: options.Debug = False,
) -> None:
    """Write the days of a warehouse that changed since the last export as plain Parquet, one folder per day."""
    from etl.cli.progress import unshown
    from etl.warehouse.export import export as exported

    first = options.read_day("--since", since) if since else None
    end = options.read_day("--until", until) if until else None
    for table in exported(into, Path(os.path.abspath(out)), first, end, unshown()):
        terminal.write_line(
            f"{table.table}: {plural(table.written, 'day')} written, with {plural(table.rows, 'row')}; "
            f"{table.removed:,} removed, {table.kept:,} unchanged"
        )
    messages.say("done", warehouse=into, out=str(out))
