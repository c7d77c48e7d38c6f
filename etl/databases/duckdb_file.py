"""Writes the tables of a store as a DuckDB file: under a name of its own, which then takes the place of the former."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import polars as pl

from etl.databases.relations import ORIGIN, Relation, comments, quoted
from etl.databases.row_streams import Copied, RowStream
from etl.databases.views import VIEWS
from etl.errors import OutputError, UsageError
from etl.runner.publish import lock_folder, sync
from etl.runner.published_tables import read
from etl.runner.stage_inputs import Progress

#: DuckDB holds the index of each key in memory, about 100 bytes a row. Larger tables have no keys.
MOST_KEYED_ROWS: Final = 2_000_000

#: The oldest version of DuckDB that can read the file, whatever the version is that writes it.
READABLE_SINCE: Final = "v1.0.0"

_MEMORY: Final = "1GB"


def write_duckdb(file: Path, relations: Sequence[Relation], progress: Progress) -> list[Copied]:
    """Writes the tables and views into a file, whole or not at all.

    Args:
        file: The file; it may hold an earlier export.
        relations: The tables.
        progress: Receives a warning if there are too many rows for keys, and the phase in which the file changes.

    Raises:
        UsageError: DuckDB is not installed, or the file is no earlier export.
        OutputError: The file cannot be written, or is open in another program; it is unchanged.
    """
    duckdb = _library()
    _check_file(duckdb, file)
    rows = sum(int(read(relation.rows.select(pl.len())).item()) for relation in relations if relation.key)
    has_keys = rows <= MOST_KEYED_ROWS
    if not has_keys:
        progress.warn(f"The tables have {rows:,} rows: too many for keys, which DuckDB would hold in memory.")
    stage = file.parent / f".{file.name}.staging"
    with lock_folder(stage, "--to"), _as_output_errors(duckdb, file):
        new = stage / "new"
        new.unlink(missing_ok=True)
        settings = {
            "memory_limit": _MEMORY,
            "preserve_insertion_order": False,
            "storage_compatibility_version": READABLE_SINCE,
            "temp_directory": str(stage / "spill"),
        }
        with duckdb.connect(str(new), config=settings) as database:
            copied = [_copy(database, relation, has_keys=has_keys) for relation in relations]
            for view in VIEWS:
                for statement in (view.create_statement, *comments("view", view.table)):
                    database.execute(statement)
            database.execute("checkpoint")  # at its end a connection would hide that this failed
        sync(new)
        progress.begin("publishing", 0)
        _check_file(duckdb, file)
        new.rename(file)
        sync(file.parent)
    return copied


def _copy(database: Any, relation: Relation, *, has_keys: bool) -> Copied:
    """Creates a table and inserts its rows. DuckDB takes foreign keys of new tables only."""
    database.execute(relation.create_statement(relation.constraints if has_keys else ()))
    for statement in comments("table", relation.table):
        database.execute(statement)
    stream = RowStream(relation.name, relation.rows, takes_nul=True)
    with stream.opened() as batches:
        database.register("batches", batches)
        (written,) = database.execute(f"insert into {quoted(relation.name)} select * from batches").fetchone()
        database.unregister("batches")
    return stream.copied(written)


def _check_file(duckdb: Any, file: Path) -> None:
    """Refuses a destination that is no file of an earlier export, or that another program writes.

    Raises:
        UsageError: The destination is refused.
        OutputError: Another program has it open for writing, or its folder does not exist.
    """
    hint = "Name a new file, or the file of an earlier export."
    if not file.parent.is_dir():
        raise OutputError(f"The folder {str(file.parent)!r} does not exist.", "Make the folder first.")
    if (log := file.with_name(f"{file.name}.wal")).exists():
        raise OutputError(
            f"{log} holds changes of another program, which would go into the new file.",
            "Open the former file with DuckDB and close it, or name another --to.",
        )
    if not file.exists() and not file.is_symlink():
        return
    if file.is_symlink() or not file.is_file():
        raise UsageError(f"--to {str(file)!r} is not a file.", hint)
    try:
        with duckdb.connect(str(file), read_only=True) as database:
            tables = {name for (name,) in database.execute("select table_name from duckdb_tables()").fetchall()}
    except duckdb.Error as error:
        if "lock" in str(error).lower():
            raise OutputError(
                f"{file} is open in another program, which may write to it.",
                "Close it there, or open it read-only: duckdb -readonly FILE.",
            ) from error
        raise UsageError(f"--to {str(file)!r} is no DuckDB file that can be read.", hint) from error
    if ORIGIN.name not in tables:
        raise UsageError(f"--to {str(file)!r} holds tables that no export wrote.", hint)


@contextmanager
def _as_output_errors(duckdb: Any, file: Path) -> Iterator[None]:
    """Turns errors of DuckDB or of the system into an OutputError."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise OutputError(
            f"{file} cannot be written: {reason}", "Free some disk space, or name another --to."
        ) from error


def _library() -> Any:
    """Imports and returns `duckdb`.

    Raises:
        UsageError: The library is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise UsageError(
            "DuckDB files need the library duckdb, which is not installed.",
            "Run: pip install 'postback-etl[databases]'",
        ) from error
    return duckdb
