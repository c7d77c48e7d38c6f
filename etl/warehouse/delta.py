"""Creates, reads, commits, restores and vacuums Delta tables, by `deltalake`.

A table's rows are in Parquet files; its log says which files each version has. A commit removes and adds files. A
commit fails if another writer has committed since the table was opened, so two writers cannot mix their changes.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import OutputError, UsageError
from etl.warehouse import file_storage
from etl.warehouse.file_storage import ConflictError, Place
from etl.warehouse.table_layout import BY_NAME, RECEIVED_DATE, StoredTable

#: One row is a Parquet file of a table: its path, rows, bytes and day, and its first and last key.
FILES: Final = pl.Schema(
    {
        "path": pl.String(),
        "records": pl.Int64(),
        "bytes": pl.Int64(),
        "received_date": pl.Date(),
        "low": pl.String(),
        "high": pl.String(),
    }
)

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")

#: The partition of rows without a day, as Hive names it.
_NO_DAY: Final = "__HIVE_DEFAULT_PARTITION__"


class Addition(NamedTuple):
    """A file that a commit adds to a table; the fields are those of `FILES`."""

    path: str
    records: int
    bytes: int
    received_date: date | None
    low: str
    high: str


class FileChanges(NamedTuple):
    """The files that a commit adds to a table, and the rows of `FILES` that it removes."""

    additions: list[Addition]
    removals: pl.DataFrame


def library() -> Any:
    """Imports and returns `deltalake`.

    Raises:
        UsageError: The library is not installed.
    """
    try:
        import deltalake
        import deltalake.exceptions
        import deltalake.transaction
    except ImportError as error:
        raise UsageError(
            "Warehouses need a library that is not installed.", "Run: pip install 'postback-etl[warehouse]'"
        ) from error
    return deltalake


def path_of(stored: StoredTable, day: date | None, name: str) -> str:
    """Returns the path of a file within its table, by its day."""
    return f"{RECEIVED_DATE.name}={day or _NO_DAY}/{name}" if stored.is_dated else name


def open_table(place: Place, stored: StoredTable, version: int | None = None) -> Any:
    """Opens a table at a version, by default the latest; returns None if there is no such table.

    Raises:
        OutputError: The table cannot be read.
    """
    errors = library().exceptions
    try:
        return library().DeltaTable(place.uri(stored.folder), version=version)
    except errors.TableNotFoundError:
        return None
    except (errors.DeltaError, OSError) as error:
        raise _table_error(place, stored, error) from error


def create(place: Place, stored: StoredTable) -> None:
    """Creates a table without rows, as its version 0, unless it exists."""
    try:
        library().DeltaTable.create(
            place.uri(stored.folder), _delta_schema(stored.name), mode="ignore", partition_by=_partitions(stored)
        )
    except (library().exceptions.DeltaError, OSError) as error:
        raise _table_error(place, stored, error) from error


def files_of(table: Any, stored: StoredTable) -> pl.DataFrame:
    """Lists the files of an opened table: rows of `FILES`, in the order of their keys."""
    actions = table.get_add_actions(flatten=True)
    if not actions.num_rows:
        return pl.DataFrame(schema=FILES)
    files = pl.DataFrame(actions)
    day = pl.col(f"partition.{RECEIVED_DATE.name}") if stored.is_dated else pl.lit(None)
    return files.select(
        path="path",
        records=pl.col("num_records"),
        bytes=pl.col("size_bytes"),
        received_date=day.cast(pl.Date),
        low=pl.col(f"min.{stored.key}"),
        high=pl.col(f"max.{stored.key}"),
    ).sort("low", "path")


def scan(place: Place, stored: StoredTable, paths: Iterable[str], path_column: str | None = None) -> pl.LazyFrame:
    """Scans files of a table, without `received_date`. Columns that files of earlier versions lack are null.

    Args:
        place: The warehouse.
        stored: The table.
        paths: Paths of the files within the table.
        path_column: Name of a column for the address of each row's file; none by default.
    """
    uris = [place.uri(f"{stored.folder}/{path}") for path in paths]
    if not uris:
        columns = {path_column: pl.String()} if path_column else {}
        return pl.LazyFrame(schema={**stored.table.schema, **columns})
    return pl.scan_parquet(
        uris,
        schema=stored.table.schema,
        missing_columns="insert",
        glob=False,
        hive_partitioning=False,
        include_file_paths=path_column,
    )


def commit(place: Place, stored: StoredTable, table: Any, changes: FileChanges, properties: Mapping[str, str]) -> int:
    """Commits a change of files as the version after the opened version.

    Args:
        place: The warehouse.
        stored: The table.
        table: The opened table, at its latest version.
        changes: The files to remove, and the files to add, which lie in the table's folder already.
        properties: What the log says of the commit: the `run`, and what else there is to say.

    Returns:
        The new version.

    Raises:
        ConflictError: Another writer has committed a version meanwhile.
        OutputError: The table cannot be written.
    """
    deltalake = library()
    now = int(time.time() * 1000)
    removed = [
        deltalake.transaction.RemoveAction(row["path"], True, now, row["bytes"], _values(stored, row["received_date"]))
        for row in changes.removals.iter_rows(named=True)
    ]
    added = [
        deltalake.transaction.AddAction(
            addition.path,
            addition.bytes,
            _values(stored, addition.received_date),
            now,
            True,
            _statistics(stored, addition),
        )
        for addition in changes.additions
    ]
    try:
        _add_missing_columns(stored, table)
        table.create_write_transaction(
            [*removed, *added],
            "append",
            _delta_schema(stored.name),
            _partitions(stored),
            commit_properties=deltalake.CommitProperties(custom_metadata=dict(properties), max_commit_retries=0),
            post_commithook_properties=_commit_hooks(),
        )
    except deltalake.exceptions.CommitFailedError as error:
        raise ConflictError(place.address, f"it has a later version of {stored.name}") from error
    except (deltalake.exceptions.DeltaError, OSError) as error:
        raise _table_error(place, stored, error) from error
    version = int(table.version()) + 1
    file_storage.sync_file(place, f"{stored.folder}/_delta_log/{version:020}.json")
    return version


def _add_missing_columns(stored: StoredTable, table: Any) -> None:
    """Adds the columns that an opened table of an earlier version of this tool lacks, as a version of their own."""
    known = {field.name for field in table.schema().fields}
    missing = [field for field in _delta_schema(stored.name).fields if field.name not in known]
    if missing:
        table.alter.add_columns(missing, post_commithook_properties=_commit_hooks())


def restore(place: Place, stored: StoredTable, table: Any, version: int) -> int:
    """Restores the state of an earlier version as a new version, and returns the new version."""
    errors = library().exceptions
    try:
        table.restore(
            version,
            commit_properties=library().CommitProperties(max_commit_retries=0),
            post_commithook_properties=_commit_hooks(),
        )
    except errors.CommitFailedError as error:
        raise ConflictError(place.address, f"it has a later version of {stored.name}") from error
    except (errors.DeltaError, OSError) as error:
        raise _table_error(place, stored, error) from error
    return int(table.version())


class VacuumOptions(NamedTuple):
    """Options of `vacuum`.

    Attributes:
        hours: Keep files that a version of the last so many hours has.
        is_dry_run: List the files only.
        is_safe: Refuse less than a week.
    """

    hours: int
    is_dry_run: bool
    is_safe: bool


def vacuum(place: Place, stored: StoredTable, table: Any, options: VacuumOptions) -> tuple[list[str], int]:
    """Removes files that no recent version of a table has; returns their paths and the table's version after it."""
    errors = library().exceptions
    try:
        removed = table.vacuum(
            retention_hours=options.hours,
            dry_run=options.is_dry_run,
            enforce_retention_duration=options.is_safe,
            commit_properties=library().CommitProperties(max_commit_retries=0),
            post_commithook_properties=_commit_hooks(),
            full=True,
        )
        return list(removed), int(library().DeltaTable(place.uri(stored.folder)).version())
    except errors.CommitFailedError as error:
        raise ConflictError(place.address, f"it has a later version of {stored.name}") from error
    except (errors.DeltaError, OSError) as error:
        raise _table_error(place, stored, error) from error


def _commit_hooks() -> Any:
    """Returns hooks that write checkpoints of the log, but remove no part of the log: a snapshot may need it."""
    return library().PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


def _table_error(place: Place, stored: StoredTable, error: BaseException) -> OutputError:
    """Returns the error for a table, with the message of the library or system on one line."""
    reason = getattr(error, "strerror", None) or " ".join(_COLOURS.sub("", str(error)).split())[:200]
    return OutputError(f"Table {stored.name} of {place.address} failed: {reason}", file_storage.way_out(reason))


def _partitions(stored: StoredTable) -> list[str]:
    """Returns the partition columns of a table."""
    return [RECEIVED_DATE.name] if stored.is_dated else []


def _values(stored: StoredTable, day: date | None) -> dict[str, str | None]:
    """Returns the partition values of a file."""
    return {RECEIVED_DATE.name: day.isoformat() if day else None} if stored.is_dated else {}


def _statistics(stored: StoredTable, addition: Addition) -> str:
    """Returns the statistics of a file for the log, as JSON: rows, and the bounds of the key."""
    bounds = {
        "minValues": {stored.key: addition.low},
        "maxValues": {stored.key: addition.high},
        "nullCount": {stored.key: 0},
    }
    return json.dumps({"numRecords": addition.records, **bounds})


@cache
def _delta_schema(name: str) -> Any:
    """Returns the schema of the table of this name as a Delta schema."""
    empty = pl.DataFrame(schema=BY_NAME[name].schema)
    return library().Schema.from_arrow(empty.to_arrow(compat_level=pl.CompatLevel.oldest()).schema)
