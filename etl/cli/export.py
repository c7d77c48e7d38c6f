"""The command `export`: writes a store's tables into a database, or a warehouse's as plain Parquet by day."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from etl.cli import messages, options, terminal
from etl.errors import plural


def export(
    store: Annotated[
        str | None,
        typer.Argument(metavar="STORE", help="A folder that run or export wrote, or a folder or s3:// of a warehouse."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET", help="duckdb:FILE, postgresql://USER@HOST/DATABASE, or a folder; replaced whole."
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="Export only days from this day on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Export only days before this day.")] = None,
    schema: Annotated[
        str | None, typer.Option(metavar="NAME", help="Schema of PostgreSQL; postback_etl by default.")
    ] = None,
    into: Annotated[str | None, typer.Option(hidden=True)] = None,
    out: Annotated[Path | None, typer.Option(hidden=True)] = None,
    events: options.Events = options.EventsMode.TEXT,
    debug: options.Debug = False,
) -> None:
    """Write tables into a database, with keys, comments and views; or the changed days of a warehouse as Parquet."""
    from etl.cli.progress import unshown
    from etl.databases.database_export import export_store
    from etl.errors import UsageError, masked

    source, target = store or into, to or (out and str(out))  # --into and --out: the former spelling
    if not source or not target:
        raise UsageError("STORE and --to are needed.", "Run: postback-etl export STORE --to duckdb:FILE")
    days = (
        options.read_day("--since", since) if since else None,
        options.read_day("--until", until) if until else None,
    )
    for table in export_store(source, target, days, schema, unshown()):
        terminal.write_line(_line(table._asdict()))
    messages.say("done", store=masked(source), to=masked(target))


def _line(table: dict[str, Any]) -> str:
    """Says what was written of a table, as folders of days or as rows of a database."""
    if "written" in table:
        written, rows = plural(table["written"], "day"), plural(table["rows"], "row")
        return "{table}: {} written, with {}; {removed:,} removed, {kept:,} unchanged".format(
            written, rows, **{key: table[key] for key in ("table", "removed", "kept")}
        )
    replaced = table["replaced"]
    values = f"; {plural(replaced, 'value')} held U+0000, now U+FFFD" if replaced else ""
    return f"{table['table']}: {plural(table['rows'], 'row')}{values}"
