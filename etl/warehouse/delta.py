"""Delta tables by `deltalake`: made, read at a version, committed and restored.

A table's rows lie in Parquet files; its log says which of them count. One commit takes files out and puts files in. A
commit that does not follow at once upon the version it was made for fails, so that two writers cannot mix theirs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from datetime import date
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import OutputError, UsageError
from etl.warehouse import file_storage
from etl.warehouse.file_storage import ConflictError, Place
from etl.warehouse.table_layout import RECEIVED_DATE, Kept

#: One row is a Parquet file of a table: where it lies, its rows, its bytes, its day, the first and the last key.
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

#: The day of a null, as Hive writes it.
_NO_DAY: Final = "__HIVE_DEFAULT_PARTITION__"


class Addition(NamedTuple):
    """A file to be put into a table; the fields are those of `FILES`."""

    path: str
    records: int
    bytes: int
    received_date: date | None
    low: str
    high: str


class Exchange(NamedTuple):
    """What one commit does to a table: files that come in, and rows of `FILES` that go out."""

    additions: list[Addition]
    removals: pl.DataFrame


def library() -> Any:
    """`deltalake`.

    Raises:
        UsageError: It is not installed.
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


def path_of(kept: Kept, day: date | None, name: str) -> str:
    """Where a file lies within its table, by its day."""
    return f"{RECEIVED_DATE.name}={day or _NO_DAY}/{name}" if kept.is_dated else name


def opened(place: Place, kept: Kept, version: int | None = None) -> Any:
    """A table at a version, the latest by default; None where there is none.

    Raises:
        OutputError: It cannot be read.
    """
    errors = library().exceptions
    try:
        return library().DeltaTable(place.uri(kept.folder), version=version)
    except errors.TableNotFoundError:
        return None
    except (errors.DeltaError, OSError) as error:
        raise failed(place, kept, error) from error


def create(place: Place, kept: Kept) -> None:
    """Makes a table of no rows, as its version 0, unless it is there."""
    try:
        library().DeltaTable.create(
            place.uri(kept.folder), _delta_schema(kept), mode="ignore", partition_by=_partitions(kept)
        )
    except (library().exceptions.DeltaError, OSError) as error:
        raise failed(place, kept, error) from error


def files_of(table: Any, kept: Kept) -> pl.DataFrame:
    """The files of a table at its version: rows of `FILES`, in the order of their keys."""
    actions = table.get_add_actions(flatten=True)
    if not actions.num_rows:
        return pl.DataFrame(schema=FILES)
    files = pl.DataFrame(actions)
    day = pl.col(f"partition.{RECEIVED_DATE.name}") if kept.is_dated else pl.lit(None)
    return files.select(
        path="path",
        records=pl.col("num_records"),
        bytes=pl.col("size_bytes"),
        received_date=day.cast(pl.Date),
        low=pl.col(f"min.{kept.key}"),
        high=pl.col(f"max.{kept.key}"),
    ).sort("low", "path")


def scan(place: Place, kept: Kept, paths: Iterable[str], beside: str | None = None) -> pl.LazyFrame:
    """The rows of some files of a table, without `received_date`; a column for the address of each row's file."""
    uris = [place.uri(f"{kept.folder}/{path}") for path in paths]
    if not uris:
        columns = {beside: pl.String()} if beside else {}
        return pl.LazyFrame(schema={**kept.table.schema, **columns})
    return pl.scan_parquet(uris, glob=False, hive_partitioning=False, include_file_paths=beside)


def commit(place: Place, kept: Kept, table: Any, exchange: Exchange, run: str) -> int:
    """Takes files out of a table and puts others in, as the version after the one at hand.

    Args:
        place: The warehouse.
        kept: The table.
        table: As it was opened; its latest version.
        exchange: Which files go out, and which, that lie there already, come in.
        run: Recorded in the log.

    Returns:
        The new version.

    Raises:
        ConflictError: There is one already.
        OutputError: It cannot be written.
    """
    deltalake = library()
    now = int(time.time() * 1000)
    removed = [
        deltalake.transaction.RemoveAction(row["path"], True, now, row["bytes"], _values(kept, row["received_date"]))
        for row in exchange.removals.iter_rows(named=True)
    ]
    added = [
        deltalake.transaction.AddAction(
            one.path, one.bytes, _values(kept, one.received_date), now, True, _statistics(kept, one)
        )
        for one in exchange.additions
    ]
    try:
        table.create_write_transaction(
            [*removed, *added],
            "append",
            _delta_schema(kept),
            _partitions(kept),
            commit_properties=deltalake.CommitProperties(custom_metadata={"run": run}, max_commit_retries=0),
            post_commithook_properties=hooks(),
        )
    except deltalake.exceptions.CommitFailedError as error:
        raise ConflictError(place.address, f"it has a later version of {kept.name}") from error
    except (deltalake.exceptions.DeltaError, OSError) as error:
        raise failed(place, kept, error) from error
    version = int(table.version()) + 1
    file_storage.settle(place, f"{kept.folder}/_delta_log/{version:020}.json")
    return version


def restore(place: Place, kept: Kept, table: Any, version: int) -> int:
    """Makes a table what it was at a version, as a new version, which is given."""
    errors = library().exceptions
    try:
        table.restore(
            version,
            commit_properties=library().CommitProperties(max_commit_retries=0),
            post_commithook_properties=hooks(),
        )
    except errors.CommitFailedError as error:
        raise ConflictError(place.address, f"it has a later version of {kept.name}") from error
    except (errors.DeltaError, OSError) as error:
        raise failed(place, kept, error) from error
    return int(table.version())


class Vacuuming(NamedTuple):
    """How to vacuum: what is older than so many hours; only tell; refuse less than a week."""

    hours: int
    is_dry_run: bool
    is_safe: bool


def vacuum(place: Place, kept: Kept, table: Any, how: Vacuuming) -> tuple[list[str], int]:
    """Removes files of a table that no version of some time has; gives them, and the version that this makes."""
    errors = library().exceptions
    try:
        removed = table.vacuum(
            retention_hours=how.hours,
            dry_run=how.is_dry_run,
            enforce_retention_duration=how.is_safe,
            commit_properties=library().CommitProperties(max_commit_retries=0),
            post_commithook_properties=hooks(),
            full=True,
        )
        return list(removed), int(library().DeltaTable(place.uri(kept.folder)).version())
    except errors.CommitFailedError as error:
        raise ConflictError(place.address, f"it has a later version of {kept.name}") from error
    except (errors.DeltaError, OSError) as error:
        raise failed(place, kept, error) from error


def hooks() -> Any:
    """After a commit: the log may be summed up, but nothing of it is removed, for a snapshot may need it."""
    return library().PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


def failed(place: Place, kept: Kept, error: BaseException) -> OutputError:
    """What a library or the system says about a table, in two lines."""
    reason = getattr(error, "strerror", None) or " ".join(_COLOURS.sub("", str(error)).split())[:200]
    return OutputError(
        f"Table {kept.name} of {place.address} failed: {reason}", "Check the place, and run the command again."
    )


def _partitions(kept: Kept) -> list[str]:
    return [RECEIVED_DATE.name] if kept.is_dated else []


def _values(kept: Kept, day: date | None) -> dict[str, str | None]:
    return {RECEIVED_DATE.name: day.isoformat() if day else None} if kept.is_dated else {}


def _statistics(kept: Kept, one: Addition) -> str:
    bounds = {"minValues": {kept.key: one.low}, "maxValues": {kept.key: one.high}, "nullCount": {kept.key: 0}}
    return json.dumps({"numRecords": one.records, **bounds})


def _delta_schema(kept: Kept) -> Any:
    empty = pl.DataFrame(schema=kept.schema)
    return library().Schema.from_arrow(empty.to_arrow(compat_level=pl.CompatLevel.oldest()).schema)
