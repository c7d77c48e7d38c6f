"""`export` writes a warehouse's tables as plain Parquet files by day, for tools that cannot read Delta.

    DIR/conversions/received_date=2024-05-01/part-00000.parquet
    DIR/conversions/received_date=__HIVE_DEFAULT_PARTITION__/…     rows without a time

The manifest of the folder records which files of the warehouse each partition was made of. So a later export into the
same folder writes only the partitions that have changed, whatever their day. The same rows give the same bytes. The new
state of the folder replaces the old state in one step.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import polars as pl

from etl.errors import OutputError, UsageError
from etl.runner.parquet import write_table
from etl.runner.publish import MANIFEST, staged
from etl.runner.stage_inputs import SILENT, Progress
from etl.warehouse import file_storage, snapshots
from etl.warehouse.delta import path_of
from etl.warehouse.snapshots import Warehouse, last_ruleset
from etl.warehouse.table_layout import BY_NAME, PUBLIC, RECEIVED_DATE, StoredTable

#: Rows of a file of a partition, about. This bounds the memory of an export.
_ROWS: Final = 200_000


class Exported(NamedTuple):
    """The result for one table.

    Attributes:
        table: Name of the table.
        written: Partitions that were written.
        removed: Partitions that were removed.
        kept: Partitions that stayed as they were.
        rows: Rows that were written.
    """

    table: str
    written: int
    removed: int
    kept: int
    rows: int


class _Partition(NamedTuple):
    """The rows of a table on one day.

    Attributes:
        stored: The table.
        files: Rows of `delta.FILES`.
        digest: Changes when the files change.
    """

    stored: StoredTable
    files: pl.DataFrame
    digest: str


def export(
    address: str, out: Path, since: date | None = None, until: date | None = None, progress: Progress = SILENT
) -> list[Exported]:
    """Writes the tables at the versions of the snapshot into a folder, whole or not at all.

    Args:
        address: The warehouse.
        out: The folder. Partitions outside the requested days stay as they are.
        since: Only days from this day on; rows without a day are always included.
        until: Only days before this day.
        progress: Receives the phase in which the folder changes.

    Returns:
        The result for each table.

    Raises:
        UsageError: There is no such warehouse, or the folder holds files that no export of it wrote.
        OutputError: The folder cannot be written; it is unchanged.
    """
    warehouse = snapshots.open_for_reading(address)
    present = _partitions(warehouse)

    def is_requested(path: str) -> bool:
        day = path.partition("=")[2]
        return not day[:1].isdigit() or (day >= f"{since or ''}" and (until is None or day < f"{until}"))

    if file_storage.is_within(warehouse.place, out):
        raise UsageError(f"--out {str(out)!r} lies in the warehouse.", "Name a folder outside of it.")
    with staged(out, check_export) as stage:
        before = _exported_partitions(out, warehouse)
        new = {
            path: found for path, found in present.items() if is_requested(path) and before.get(path) != found.digest
        }
        gone = {path for path in before if is_requested(path) and path not in present}
        left = before.keys() - new.keys() - gone
        rows: dict[str, int] = {}
        if new or gone or not (out / MANIFEST).exists():
            with _as_output_errors(out):
                rows = {path: _write(warehouse, found, stage.new / path) for path, found in new.items()}
                _carry_over(out, stage.new, left)
            partitions = {path: before[path] for path in left} | {path: found.digest for path, found in new.items()}
            progress.begin("publishing", 0)
            about = {"warehouse": warehouse.place.uri(""), "ruleset": last_ruleset(warehouse)}
            stage.publish({**about, "partitions": dict(sorted(partitions.items()))})
    return [_summarised(name, set(new), gone, left, rows) for name in PUBLIC]


def _summarised(name: str, new: set[str], gone: set[str], left: set[str], rows: dict[str, int]) -> Exported:
    """Counts the partitions and rows of a table."""
    prefix = f"{name}/"
    written, removed, kept = (sum(path.startswith(prefix) for path in paths) for paths in (new, gone, left))
    return Exported(name, written, removed, kept, sum(count for path, count in rows.items() if path.startswith(prefix)))


@contextmanager
def _as_output_errors(out: Path) -> Iterator[None]:
    """Turns errors of the system or of polars into an OutputError."""
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise OutputError(
            f"{out} cannot be written: {reason}", "Free some disk space, or name another --out."
        ) from error


def _partitions(warehouse: Warehouse) -> dict[str, _Partition]:
    """Returns the partitions of the warehouse by their path, without a slash at the end."""
    found = {}
    for name in PUBLIC:
        stored = BY_NAME[name]
        for files in warehouse.files[name].partition_by(RECEIVED_DATE.name):
            path = f"{name}/{path_of(stored, files[RECEIVED_DATE.name][0], '')}".rstrip("/")
            found[path] = _Partition(stored, files, _digest(files))
    return found


def _digest(files: pl.DataFrame) -> str:
    """Returns the digest of a partition: of the paths of its files."""
    return hashlib.sha256("\n".join(sorted(files["path"])).encode()).hexdigest()


def _write(warehouse: Warehouse, found: _Partition, folder: Path) -> int:
    """Writes a partition as files of about `_ROWS` rows, in the order of its keys, and returns the number of rows."""
    key = found.stored.key
    order = [key, "position"] if "position" in found.stored.table.schema else [key]
    folder.mkdir(parents=True)
    written = 0
    for number, (first, last) in enumerate(_ranges(warehouse, found)):
        near = found.files.filter((pl.col("low") <= last) & (pl.col("high") >= first))
        rows = (
            warehouse.scan(found.stored.name, near)
            .filter(pl.col(key).is_between(pl.lit(first), pl.lit(last)))
            .collect()
        )
        write_table(rows.sort(order), folder / f"part-{number:05d}.parquet", found.stored.name)
        written += rows.height
    return written


def _ranges(warehouse: Warehouse, found: _Partition) -> Iterator[tuple[str, str]]:
    """Yields the first and the last key of each file to write; the rows of a key are all in one file."""
    keys = warehouse.scan(found.stored.name, found.files).select(found.stored.key).collect().to_series().sort()
    last = keys[-1]
    bounds = keys.gather_every(_ROWS).unique(maintain_order=True).to_list()
    for begin, end in zip(bounds, [*bounds[1:], None], strict=True):
        yield begin, last if end is None else keys[int(keys.search_sorted(end)) - 1]


def _carry_over(out: Path, new: Path, paths: set[str]) -> None:
    """Links the partitions that stay into the new folder, and creates a folder for every table."""
    for name in PUBLIC:
        (new / name).mkdir(parents=True, exist_ok=True)
    for path in paths:
        (new / path).mkdir(parents=True)
        for file in sorted((out / path).iterdir()):
            try:
                os.link(file, new / path / file.name)
            except OSError:  # a file system without links
                shutil.copy2(file, new / path / file.name)


def _exported_partitions(out: Path, warehouse: Warehouse) -> dict[str, str]:
    """Returns the partitions that a folder holds of the warehouse: path -> digest.

    Raises:
        UsageError: The folder holds an export of another warehouse.
    """
    if not (out / MANIFEST).exists():
        return {}
    manifest = _manifest(out)
    if manifest["warehouse"] != warehouse.place.uri(""):
        raise UsageError(f"--out {str(out)!r} holds an export of {manifest['warehouse']}.", "Name another folder.")
    return {path: digest for path, digest in manifest["partitions"].items() if (out / path).is_dir()}


def _manifest(out: Path) -> dict[str, Any]:
    """Reads the manifest of a folder.

    Raises:
        OutputError: The manifest cannot be read.
    """
    try:
        found: dict[str, Any] = orjson.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise OutputError(f"{out / MANIFEST} cannot be read: {error}", "Remove the folder, or name another.") from error
    return found


def check_export(out: Path) -> None:
    """Refuses a destination that is not a folder, or holds files that no export wrote.

    Raises:
        UsageError: The destination is refused.
    """
    hint = "Name a folder that does not exist, is empty, or holds an earlier export."
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(f"--out {str(out)!r} is not a folder.", hint)
    if not out.exists() or not any(out.iterdir()):
        return
    known = _manifest(out).get("partitions") if (out / MANIFEST).exists() else None
    if known is None:
        raise UsageError(f"--out {str(out)!r} holds files that no export wrote.", hint)
    files = (path.relative_to(out) for path in sorted(out.rglob("*")) if path.is_file())
    foreign = next((path for path in files if f"{path}" != MANIFEST and f"{path.parent}" not in known), None)
    if foreign:
        raise UsageError(f"--out {str(out)!r} holds {str(foreign)!r}, which no export wrote.", hint)
