"""`verify` checks a warehouse's files, counts, ids, duplicates and days against its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import OutputError
from etl.steps.deduplication import find_duplicates
from etl.warehouse import file_storage, snapshots
from etl.warehouse.file_writer import DETAILS
from etl.warehouse.load_duplicates import dedup_window
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import BY_NAME, STORED_TABLES, id_prefix, prefix_of

_SHOWN: Final = 3


class Finding(NamedTuple):
    """A fault: the check that found it, and a message that says what is wrong where."""

    check: str
    message: str


def verify(address: str) -> list[Finding]:
    """Runs all checks on a warehouse.

    Returns:
        The faults; none if the warehouse is correct.

    Raises:
        UsageError: There is no such warehouse.
    """
    warehouse = snapshots.open_for_reading(address)
    findings: list[Finding] = []
    for name, check in CHECKS:
        try:
            for message in check(warehouse):
                findings.append(Finding(name, message))  # noqa: PERF401 - keeps the faults found before an error
        except (OutputError, OSError, pl.exceptions.PolarsError) as error:
            findings.append(Finding(name, f"cannot be checked: {' '.join(str(error).split())[:200]}"))
    return findings


def _files(warehouse: Warehouse) -> Iterator[str]:
    """Checks that each file exists with its recorded size, and that each table has its recorded number of rows."""
    for stored in STORED_TABLES:
        files = warehouse.files[stored.name]
        for path, expected in files.select("path", "bytes").iter_rows():
            found = file_storage.size_of(warehouse.place, f"{stored.folder}/{path}")
            if found != expected:
                actual = f"has {found} bytes" if found else "is missing"
                yield f"{stored.folder}/{path} {actual}, {expected} bytes are recorded"
        expected = int(files["records"].sum())
        found = warehouse.scan(stored.name).select(pl.len()).collect().item()
        if found != expected:
            yield f"{stored.name} holds {found} rows, but {expected} are recorded"


def _accounting(warehouse: Warehouse) -> Iterator[str]:
    """Checks that records = conversions + rejections + skipped, for each input."""
    for row in warehouse.scan("loads").collect().iter_rows(named=True):
        ended = row["conversions"] + sum(entry["count"] for entry in (*row["rejections"], *row["skipped"]))
        if row["records"] != ended:
            yield f"{row['source']} has {row['records']} records, but {ended} are accounted for"


def _counts(warehouse: Warehouse) -> Iterator[str]:
    """Checks that each input has the rows that its load counted, in whatever table, and that no other rows exist."""
    lengths = {table.name: pl.col(table.name).list.len().fill_null(0).sum() for table in DETAILS}
    by_input = warehouse.scan("withheld").group_by(_input_of("conversion_id"))
    withheld = by_input.agg(conversions=pl.len(), **lengths).collect()
    found = [withheld.unpivot(index="input", variable_name="what", value_name="count")]
    for name in ("conversions", *lengths):
        rows = warehouse.scan(name).group_by(_input_of("conversion_id")).agg(count=pl.len()).collect()
        found.append(rows.select("input", "count", what=pl.lit(name)))
    reasons = warehouse.scan("rejections").filter(pl.col("reason") != "duplicate_transaction")
    found.append(reasons.group_by(_input_of("rejection_id"), what="reason").agg(count=pl.len()).collect())
    columns = [pl.col("input"), pl.col("what"), pl.col("count").cast(pl.Int64)]
    totals = pl.concat(rows.select(columns) for rows in found).group_by("input", "what").agg(pl.col("count").sum())
    actual = {(row[0], row[1]): row[2] for row in totals.iter_rows() if row[2]}
    expected: dict[tuple[str, str], int] = {}
    names = {}
    for row in warehouse.scan("loads").collect().iter_rows(named=True):
        digits = prefix_of(row["digest"])
        names[digits] = row["source"]
        counted = {name: row[name] for name in ("conversions", *lengths)}
        counted |= {entry["reason"]: entry["count"] for entry in row["rejections"]}
        expected |= {(digits, what): count for what, count in counted.items() if count}
    for key in sorted(actual.keys() | expected.keys()):
        if actual.get(key, 0) != expected.get(key, 0):
            source = names.get(key[0], f"the unknown input {key[0]}")
            yield f"{source} has {actual.get(key, 0)} {key[1]}, but {expected.get(key, 0)} were counted"


def _ids(warehouse: Warehouse) -> Iterator[str]:
    """Checks that no row exists twice, and that no record is both a conversion and a rejection."""
    ids = [
        warehouse.scan(name).select(id=BY_NAME[name].key, table=pl.lit(name)) for name in ("conversions", "rejections")
    ]
    twice = pl.concat(ids).group_by("id").len().filter(pl.col("len") > 1).collect(engine="streaming")["id"]
    yield from _listed(twice, "exists more than once")
    for name in ("keys", "withheld", "loads"):
        key = BY_NAME[name].key
        twice = warehouse.scan(name).group_by(key).len().filter(pl.col("len") > 1).collect(engine="streaming")[key]
        yield from _listed(twice, f"exists more than once in {name}")


def _details(warehouse: Warehouse) -> Iterator[str]:
    """Checks that each item and passthrough has its conversion, and each conversion as many as it states."""
    columns = {"items": "item_count", "passthroughs": "passthrough_count"}
    conversions = warehouse.scan("conversions").select("conversion_id", *columns.values())
    for name, column in columns.items():
        rows = warehouse.scan(name).group_by("conversion_id").agg(count=pl.len())
        alone = rows.join(conversions, on="conversion_id", how="anti").collect(engine="streaming")["conversion_id"]
        yield from _listed(alone, f"has {name}, but is not a conversion")
        counted = conversions.join(rows, on="conversion_id", how="left")
        differing = counted.filter(pl.col(column) != pl.col("count").fill_null(0)).collect(engine="streaming")
        yield from _listed(differing["conversion_id"], f"has a different number of {name} than it states")


def _duplicates(warehouse: Warehouse) -> Iterator[str]:
    """Checks that the duplicates are those that all keys give, and that each of them is in `withheld`."""
    keys = warehouse.scan("keys")
    repeated = keys.group_by("key_hash").len().filter(pl.col("len") > 1).select("key_hash")
    suspects = keys.drop("raw").join(repeated, on="key_hash", how="semi").collect(engine="streaming")
    expected = find_duplicates(suspects, dedup_window(warehouse.snapshot.dedup))
    rejections = warehouse.scan("rejections").filter(pl.col("reason") == "duplicate_transaction")
    columns = ("duplicate_of", "duplicate_kind")
    found = rejections.select("rejection_id", *columns).rename({"rejection_id": "conversion_id"}).collect()
    every = expected.columns
    yield from _listed(expected.join(found, on=every, how="anti")["conversion_id"], "should be a duplicate")
    yield from _listed(
        found.join(expected, on=every, how="anti")["conversion_id"],
        "should not be a duplicate, or not of this record or kind",
    )
    withheld = warehouse.scan("withheld").select("conversion_id").collect()
    yield from _listed(
        found.join(withheld, on="conversion_id", how="anti")["conversion_id"], "is a duplicate, but is not in withheld"
    )
    yield from _listed(
        withheld.join(found, on="conversion_id", how="anti")["conversion_id"], "is in withheld, but is not a duplicate"
    )


def _places(warehouse: Warehouse) -> Iterator[str]:
    """Checks that each row is in the partition of its received_at and has the first name of its input as source."""
    names = warehouse.scan("loads").select(source_digest="digest", name="source").collect()
    for name in ("conversions", "rejections"):
        key = BY_NAME[name].key
        days = _days(warehouse, name)
        rows = warehouse.scan(name, path_column="file").join(days.lazy(), on="file")
        misplaced = rows.filter(pl.col("received_at").dt.date().ne_missing(pl.col("received_date")))
        yield from _listed(misplaced.select(key).collect()[key], f"is in the wrong partition of {name}")
        misnamed = rows.join(names.lazy(), on="source_digest").filter(pl.col("source") != pl.col("name"))
        yield from _listed(misnamed.select(key).collect()[key], f"has a different source in {name} than its input")


def _days(warehouse: Warehouse, name: str) -> pl.DataFrame:
    """Returns the address and the day of each file of a table."""
    files = warehouse.files[name]
    uris = [warehouse.place.uri(f"{BY_NAME[name].folder}/{path}") for path in files["path"]]
    return pl.DataFrame({"file": uris, "received_date": files["received_date"]}, schema_overrides={"file": pl.String})


def _input_of(key: str) -> pl.Expr:
    """Returns the first digits of an input's digest from a column of ids, as an expression."""
    return id_prefix(key).alias("input")


def _listed(ids: pl.Series, what: str) -> Iterator[str]:
    """Yields one message for all ids with a fault: the first few ids, how many more there are, and the fault."""
    if len(ids):
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        yield f"{', '.join(ids.sort().head(_SHOWN))}{more} {what}"


#: The checks, in the order in which they run; each yields one message for each fault.
CHECKS: Final[tuple[tuple[str, Callable[[Warehouse], Iterator[Any]]], ...]] = (
    ("files", _files),
    ("accounting", _accounting),
    ("counts", _counts),
    ("ids", _ids),
    ("details", _details),
    ("duplicates", _duplicates),
    ("places", _places),
)
