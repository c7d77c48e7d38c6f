"""`export --to` writes the tables of a store into DuckDB or PostgreSQL, or those of a warehouse into a folder."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

from etl.databases.duckdb_file import write_duckdb
from etl.databases.postgresql import SCHEMA, write_postgresql
from etl.databases.relations import relations_of
from etl.databases.row_streams import Copied
from etl.errors import UsageError, masked
from etl.runner.publish import MANIFEST
from etl.runner.stage_inputs import SILENT, Progress
from etl.warehouse.export import Exported, export
from etl.warehouse.stores import Period, open_store

_DUCKDB: Final = "duckdb:"
_POSTGRESQL: Final = ("postgresql://", "postgres://")
_SUFFIXES: Final = (".duckdb", ".ddb", ".db")


def export_store(
    store: str,
    to: str,
    days: tuple[date | None, date | None] = (None, None),
    schema: str | None = None,
    progress: Progress = SILENT,
) -> list[Copied] | list[Exported]:
    """Writes the tables of a store, whole or not at all; what an earlier export wrote is replaced.

    Args:
        store: A folder that `run` or `export` wrote, or a folder or address of a warehouse.
        to: `duckdb:FILE`, `postgresql://USER@HOST/DATABASE`, or a folder.
        days: Only rows from this day on, and before this day. Rows without a time are always included.
        schema: Schema of PostgreSQL.
        progress: Receives warnings, and the phase in which the destination changes.

    Returns:
        The result for each table, without the table that says where the rows are from.

    Raises:
        UsageError: There is no such store, or the destination holds what no export wrote.
        OutputError: The destination cannot be written; it is unchanged.
    """
    is_postgresql = to.startswith(_POSTGRESQL)
    if schema is not None and not is_postgresql:
        raise UsageError(f"Only PostgreSQL has a --schema, not {masked(to)}.", "Leave the option out.")
    if not _is_database(to):
        if (Path(store) / MANIFEST).is_file():
            raise UsageError(
                f"The tables in {store!r} are plain Parquet already.", "Copy the folder, or export it to a database."
            )
        return export(store, Path(to).absolute(), *days, progress)
    since, until = (datetime.combine(day, time(), UTC) if day else None for day in days)
    period = Period(since, until, has_undated=True) if since or until else Period()
    if is_postgresql:
        relations = relations_of(open_store(store, period), period)
        return write_postgresql(to, schema or SCHEMA, relations, progress)[1:]
    file = Path(to.removeprefix(_DUCKDB)).absolute()
    if Path(store).resolve() in file.resolve().parents:
        raise UsageError(f"--to {to!r} lies in the store.", "Name a file outside of it.")
    return write_duckdb(file, relations_of(open_store(store, period), period), progress)[1:]


def _is_database(to: str) -> bool:
    """Returns whether a destination is a database, not a folder.

    Raises:
        UsageError: It is neither.
    """
    if to.startswith((_DUCKDB, *_POSTGRESQL)):
        return True
    hint = "Give duckdb:FILE, postgresql://HOST/DATABASE, or a folder."
    if "://" in to:
        raise UsageError(f"Tables cannot be exported to {masked(to)}.", hint)
    if to.endswith(_SUFFIXES) and not Path(to).is_dir():
        raise UsageError(f"--to {to!r} would be a folder.", f"For a database, give {_DUCKDB}{to}.")
    return False
