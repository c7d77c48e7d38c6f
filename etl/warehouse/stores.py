"""Opens the tables of a store: the folder of a run, a warehouse, or an export of a warehouse.

Reports read all of them alike. A warehouse is read at the versions of its snapshot, even while a load is at work.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import UsageError
from etl.runner.publish import MANIFEST
from etl.runner.published_tables import (
    Published,
    open_folder,
    open_stored,
    read,
    read_manifest,
    read_stored_manifest,
    scan_table,
)
from etl.schema import TABLES
from etl.sources.storage.inputs import STANDARD_INPUT
from etl.sources.storage.object_stores import SCHEMES
from etl.sources.storage.store_paths import StorePath, folder_of
from etl.warehouse.file_storage import SNAPSHOT
from etl.warehouse.snapshots import is_warehouse, last_ruleset, open_for_reading, scan_pinned
from etl.warehouse.table_layout import RECEIVED_DATE

_PERIOD_NOTE: Final = "Skipped records and unread parameters are not counted: they are known of all days together."
_NAME_INPUTS: Final = "Name the files instead."
_EXPORT_NOTE: Final = "Skipped records and unread parameters are not counted: an export does not hold them."


class Period(NamedTuple):
    """Postbacks that were received from a time on, and before a time; None is no limit.

    Attributes:
        since: The time from which on.
        until: The time before which.
        has_undated: Postbacks without a time are among them.
    """

    since: datetime | None = None
    until: datetime | None = None
    has_undated: bool = False


def open_store(store: str | Path, period: Period = Period()) -> Published:  # noqa: B008 - a tuple
    """Opens the tables of a store.

    Args:
        store: A folder that `run` or `export` wrote, or a folder or address of a warehouse.
        period: Only these postbacks.

    Returns:
        The tables. Their manifest has the keys `records`, `rejections`, `skipped`, `inputs`, `ruleset`, `notes`, and
        `unrecognised_parameters`, which is None where they are not known.

    Raises:
        InputError: The folder does not exist or cannot be read.
        UsageError: It holds no tables of this tool, or tables of an earlier version.
        OutputError: The warehouse cannot be read.
    """
    address = str(store)
    place = folder_of(address) if _is_stored(address) else None
    if isinstance(place, StorePath) and (manifest := read_stored_manifest(place)):
        return _restricted(open_stored(place, manifest), period)
    if _is_stored(address) or (Path(address) / SNAPSHOT).is_file():
        return _open_warehouse(address, period)
    manifest = read_manifest(Path(address))
    if "partitions" in manifest:
        return _open_export(Path(address), manifest, period)
    return _restricted(open_folder(Path(address), manifest), period)


def _restricted(opened: Published, period: Period) -> Published:
    """Restricts what a run has published to a period."""
    if period == Period():
        return opened
    tables = _in_period(opened.tables, period)
    counts = {"unrecognised_parameters": None, **_counts(tables, {}, [_PERIOD_NOTE])}
    return Published(opened.store, opened.manifest | counts, *tables)


def expand_stores(inputs: list[str]) -> list[str]:
    """Replaces each store among inputs by the inputs that its tables were made of, under their names of that time.

    Raises:
        UsageError: A store holds records of standard input, or has no inputs.
        OutputError: A warehouse cannot be read.
    """
    return [name for text in inputs for name in (_inputs_of(text) if is_store(text) else [text])]


def existing_file(place: str) -> Path | None:
    """Finds the file at a path, or the archive that the path leads into; None if there is none."""
    try:
        return next((path for path in (Path(place), *Path(place).parents) if path.is_file()), None)
    except OSError:  # too long for a name
        return None


def is_store(text: str) -> bool:
    """Returns whether a text names a warehouse, or a folder with a manifest."""
    if _is_stored(text):
        return not set("*?[") & set(text) and is_warehouse(text)
    return any((Path(text) / name).is_file() for name in (MANIFEST, SNAPSHOT))


def _is_stored(text: str) -> bool:
    """Returns whether a text is an address in an object store."""
    return text.partition("://")[0] in SCHEMES


def _inputs_of(store: str) -> list[str]:
    """Returns the names of a store's inputs; of the members of an archive, the name of the archive."""
    manifest = open_store(store).manifest
    if "warehouse" in manifest:  # an export
        return _inputs_of(manifest["warehouse"])
    names = [entry["path"] for entry in manifest["inputs"]]
    if STANDARD_INPUT in names:
        raise UsageError(f"{store} holds records of standard input, which cannot be read again.", _NAME_INPUTS)
    if not names:
        raise UsageError(f"{store} has no inputs.", _NAME_INPUTS)
    return list(dict.fromkeys(str(existing_file(name) or name) for name in names))


def _open_warehouse(address: str, period: Period) -> Published:
    """Opens a warehouse at its snapshot."""
    warehouse = open_for_reading(address)
    tables = _in_period([scan_pinned(warehouse, table.name) for table in TABLES], period)
    loads = read(scan_pinned(warehouse, "loads"))
    is_whole = period == Period()
    skipped = _sums(loads["skipped"], "reason") if is_whole else {}
    notes = [] if is_whole else [_PERIOD_NOTE]
    rulesets = loads["ruleset_digest"].n_unique()
    if rulesets > 1:
        notes.append(f"The inputs were loaded by {rulesets} rulesets; this report uses that of the last load.")
    about: dict[str, Any] = {
        "inputs": loads.select(
            *("digest", "format"), path="source", ruleset=pl.struct(name="ruleset", digest="ruleset_digest")
        ).to_dicts(),
        "ruleset": last_ruleset(warehouse),
        "unrecognised_parameters": _sums(loads["unrecognised"], "name") if is_whole else None,
        "snapshot": warehouse.snapshot.run,
        "written_at": warehouse.snapshot.written_at,
    }
    return Published(address, about | _counts(tables, skipped, notes), *tables)


def _open_export(folder: Path, manifest: dict[str, Any], period: Period) -> Published:
    """Opens an export of a warehouse: a folder for each table, and in it a folder for each day."""
    found = []
    for table in TABLES:
        paths = sorted((folder / table.name).glob(f"{RECEIVED_DATE.name}=*/*.parquet"))
        found.append(scan_table(paths, table) if paths else table.empty().lazy())
    tables = _in_period(found, period)
    about: dict[str, Any] = {
        "inputs": [],
        "ruleset": manifest.get("ruleset"),
        "unrecognised_parameters": None,
        "warehouse": manifest["warehouse"],
    }
    return Published(str(folder), about | _counts(tables, {}, [_EXPORT_NOTE]), *tables)


def _in_period(tables: list[pl.LazyFrame], period: Period) -> list[pl.LazyFrame]:
    """Restricts the four tables to a period: the contract's columns of the rows that were received in it."""
    conversions, items, passthroughs, rejections = (
        frame.select(table.schema.names()) for frame, table in zip(_on_days(tables, period), TABLES, strict=True)
    )
    at = pl.col("received_at")
    limits = [*([at >= period.since] if period.since else []), *([at < period.until] if period.until else [])]
    if limits:
        is_in = _and_undated(pl.all_horizontal(limits), at, period)
        conversions, rejections = conversions.filter(is_in), rejections.filter(is_in)
        ids = conversions.select("conversion_id")
        items, passthroughs = (frame.join(ids, on="conversion_id", how="semi") for frame in (items, passthroughs))
    return [conversions, items, passthroughs, rejections]


def _on_days(tables: list[pl.LazyFrame], period: Period) -> list[pl.LazyFrame]:
    """Leaves out the days outside a period, where tables have a column for the day, so that no file of them is read."""
    day = pl.col(RECEIVED_DATE.name)
    limits = [
        *([day >= period.since.date()] if period.since else []),
        *([day <= period.until.date()] if period.until else []),
    ]
    is_in = _and_undated(pl.all_horizontal(True, *limits), day, period)
    return [frame.filter(is_in) if RECEIVED_DATE.name in frame.collect_schema() else frame for frame in tables]


def _and_undated(is_in: pl.Expr, at: pl.Expr, period: Period) -> pl.Expr:
    """Widens the condition of a period by rows without a time, if they are in it."""
    return is_in | at.is_null() if period.has_undated else is_in


def _counts(tables: list[pl.LazyFrame], skipped: dict[str, int], notes: list[str]) -> dict[str, Any]:
    """Counts records as the manifest of a run does, from the tables and the counts of skipped records."""
    conversions, _, _, rejections = tables
    kept = int(read(conversions.select(pl.len())).item())
    reasons = read(rejections.group_by("reason").len().sort("reason"))
    rejected = {reason: int(count) for reason, count in reasons.iter_rows()}
    return {
        "records": kept + sum(rejected.values()) + sum(skipped.values()),
        "rejections": {"total": sum(rejected.values()), "by_reason": rejected},
        "skipped": {"total": sum(skipped.values()), "by_reason": dict(sorted(skipped.items()))},
        "notes": notes,
    }


def _sums(counts: pl.Series, key: str) -> dict[str, int]:
    """Sums the counts of inputs, lists of structs of a name and `count`; the most frequent first."""
    sums = Counter[str]()
    for entry in counts.drop_nulls().explode(empty_as_null=False).drop_nulls() if len(counts) else ():
        sums[entry[key]] += entry["count"]
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))
