"""`verify`: what a warehouse says about itself, proved from its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import OutputError
from etl.transform.deduplication import find_duplicates
from etl.warehouse import file_storage, snapshots
from etl.warehouse.file_writer import DETAILS
from etl.warehouse.load_duplicates import window_of
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import BY_NAME, KEPT, id_prefix, prefix_of

_SHOWN: Final = 3


class Finding(NamedTuple):
    """Something that is wrong: the check that found it, and what and where."""

    check: str
    message: str


def verify(address: str) -> list[Finding]:
    """Looks for anything in a warehouse that cannot be.

    Returns:
        Nothing, if all is well.

    Raises:
        UsageError: There is no such warehouse.
    """
    warehouse = snapshots.viewed(address)
    findings: list[Finding] = []
    for name, check in CHECKS:
        try:
            for message in check(warehouse):
                findings.append(Finding(name, message))  # noqa: PERF401 - what was found before an error stays
        except (OutputError, OSError, pl.exceptions.PolarsError) as error:
            findings.append(Finding(name, f"cannot be checked: {' '.join(str(error).split())[:200]}"))
    return findings


def _files(warehouse: Warehouse) -> Iterator[str]:
    """Every file is there, as long as it was, and holds the rows that the log says."""
    for kept in KEPT:
        files = warehouse.files[kept.name]
        for path, expected in files.select("path", "bytes").iter_rows():
            found = file_storage.size_of(warehouse.place, f"{kept.folder}/{path}")
            if found != expected:
                yield f"{kept.folder}/{path} {f'has {found} bytes' if found else 'is gone'}, {expected} are recorded"
        expected = int(files["records"].sum())
        found = warehouse.scan(kept.name).select(pl.len()).collect().item()
        if found != expected:
            yield f"{kept.name} holds {found} rows, but {expected} are recorded"


def _accounting(warehouse: Warehouse) -> Iterator[str]:
    """Records = conversions + rejections + skipped, for every input."""
    for row in warehouse.scan("loads").collect().iter_rows(named=True):
        ended = row["conversions"] + sum(one["count"] for one in (*row["rejections"], *row["skipped"]))
        if row["records"] != ended:
            yield f"{row['source']} has {row['records']} records, but {ended} are accounted for"


def _counts(warehouse: Warehouse) -> Iterator[str]:
    """Every input has the rows that were counted when it was loaded, wherever they are now; there are no others."""
    lengths = {table.name: pl.col(table.name).list.len().fill_null(0).sum() for table in DETAILS}
    by_input = warehouse.scan("withheld").group_by(_input("conversion_id"))
    resting = by_input.agg(conversions=pl.len(), **lengths).collect()
    found = [resting.unpivot(index="input", variable_name="what", value_name="count")]
    for name in ("conversions", *lengths):
        rows = warehouse.scan(name).group_by(_input("conversion_id")).agg(count=pl.len()).collect()
        found.append(rows.select("input", "count", what=pl.lit(name)))
    reasons = warehouse.scan("rejections").filter(pl.col("reason") != "duplicate_transaction")
    found.append(reasons.group_by(_input("rejection_id"), what="reason").agg(count=pl.len()).collect())
    columns = [pl.col("input"), pl.col("what"), pl.col("count").cast(pl.Int64)]
    totals = pl.concat(rows.select(columns) for rows in found).group_by("input", "what").agg(pl.col("count").sum())
    actual = {(row[0], row[1]): row[2] for row in totals.iter_rows() if row[2]}
    expected: dict[tuple[str, str], int] = {}
    names = {}
    for row in warehouse.scan("loads").collect().iter_rows(named=True):
        digits = prefix_of(row["digest"])
        names[digits] = row["source"]
        counted = {name: row[name] for name in ("conversions", *lengths)}
        counted |= {one["reason"]: one["count"] for one in row["rejections"]}
        expected |= {(digits, what): count for what, count in counted.items() if count}
    for key in sorted(actual.keys() | expected.keys()):
        if actual.get(key, 0) != expected.get(key, 0):
            source = names.get(key[0], f"the unknown input {key[0]}")
            yield f"{source} has {actual.get(key, 0)} {key[1]}, but {expected.get(key, 0)} were counted"


def _ids(warehouse: Warehouse) -> Iterator[str]:
    """No row is there twice, and none both as a conversion and as a rejection."""
    ids = [
        warehouse.scan(name).select(id=BY_NAME[name].key, table=pl.lit(name)) for name in ("conversions", "rejections")
    ]
    twice = pl.concat(ids).group_by("id").len().filter(pl.col("len") > 1).collect(engine="streaming")["id"]
    yield from _named(twice, "is there more than once")
    for name in ("keys", "withheld", "loads"):
        key = BY_NAME[name].key
        twice = warehouse.scan(name).group_by(key).len().filter(pl.col("len") > 1).collect(engine="streaming")[key]
        yield from _named(twice, f"is more than once in {name}")


def _details(warehouse: Warehouse) -> Iterator[str]:
    """Every item and passthrough has its conversion, and every conversion as many as it says."""
    columns = {"items": "item_count", "passthroughs": "passthrough_count"}
    conversions = warehouse.scan("conversions").select("conversion_id", *columns.values())
    for name, column in columns.items():
        rows = warehouse.scan(name).group_by("conversion_id").agg(count=pl.len())
        alone = rows.join(conversions, on="conversion_id", how="anti").collect(engine="streaming")["conversion_id"]
        yield from _named(alone, f"has {name}, but is no conversion")
        counted = conversions.join(rows, on="conversion_id", how="left")
        other = counted.filter(pl.col(column) != pl.col("count").fill_null(0)).collect(engine="streaming")
        yield from _named(other["conversion_id"], f"has another number of {name} than it says")


def _duplicates(warehouse: Warehouse) -> Iterator[str]:
    """The duplicates are those that the keys of all conversions give, and each is withheld."""
    keys = warehouse.scan("keys")
    repeated = keys.group_by("key_hash").len().filter(pl.col("len") > 1).select("key_hash")
    suspects = keys.drop("raw").join(repeated, on="key_hash", how="semi").collect(engine="streaming")
    expected = find_duplicates(suspects, window_of(warehouse.snapshot.dedup))
    rejections = warehouse.scan("rejections").filter(pl.col("reason") == "duplicate_transaction")
    columns = ("duplicate_of", "duplicate_kind")
    found = rejections.select("rejection_id", *columns).rename({"rejection_id": "conversion_id"}).collect()
    every = expected.columns
    yield from _named(expected.join(found, on=every, how="anti")["conversion_id"], "should be a duplicate")
    yield from _named(found.join(expected, on=every, how="anti")["conversion_id"], "should be no such duplicate")
    resting = warehouse.scan("withheld").select("conversion_id").collect()
    yield from _named(found.join(resting, on="conversion_id", how="anti")["conversion_id"], "is not withheld")
    yield from _named(resting.join(found, on="conversion_id", how="anti")["conversion_id"], "is withheld for nothing")


def _places(warehouse: Warehouse) -> Iterator[str]:
    """Every row lies under the day of its received_at and bears the first name of its input."""
    names = warehouse.scan("loads").select(source_digest="digest", name="source").collect()
    for name in ("conversions", "rejections"):
        key = BY_NAME[name].key
        days = _days(warehouse, name)
        rows = warehouse.scan(name, beside="file").join(days.lazy(), on="file")
        misplaced = rows.filter(pl.col("received_at").dt.date().ne_missing(pl.col("received_date")))
        yield from _named(misplaced.select(key).collect()[key], f"lies under another day in {name}")
        misnamed = rows.join(names.lazy(), on="source_digest").filter(pl.col("source") != pl.col("name"))
        yield from _named(misnamed.select(key).collect()[key], f"bears another name in {name} than its input")


def _days(warehouse: Warehouse, name: str) -> pl.DataFrame:
    """The address of each file of a table, and its day."""
    files = warehouse.files[name]
    uris = [warehouse.place.uri(f"{BY_NAME[name].folder}/{path}") for path in files["path"]]
    return pl.DataFrame({"file": uris, "received_date": files["received_date"]}, schema_overrides={"file": pl.String})


def _input(key: str) -> pl.Expr:
    return id_prefix(key).alias("input")


def _named(ids: pl.Series, what: str) -> Iterator[str]:
    """The first few of them, and how many there are."""
    if len(ids):
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        yield f"{', '.join(ids.sort().head(_SHOWN))}{more} {what}"


#: In this order; each gives one message a fault.
CHECKS: Final[tuple[tuple[str, Callable[[Warehouse], Iterator[Any]]], ...]] = (
    ("files", _files),
    ("accounting", _accounting),
    ("counts", _counts),
    ("ids", _ids),
    ("details", _details),
    ("duplicates", _duplicates),
    ("places", _places),
)
