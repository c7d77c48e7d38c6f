"""Empties what is personal in files of tables, and says what it has emptied: numbers alone, no value.

The table `keys` of a warehouse compares records by numbers made of their texts as sent. Where such a text was emptied,
a random number takes the place of the number in all records that have it, so that duplicates stay what they are.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import AccountingError
from etl.privacy.erasure import erase
from etl.privacy.persons import Person
from etl.schema import PERSONAL_COLUMNS, SENT_COLUMNS
from etl.warehouse.table_files import TableFile, TableFiles

#: Returns the expression that chooses the rows of a file to empty; None if the file need not be read.
Choose = Callable[[TableFile], pl.Expr | None]

#: Texts of conversions from which the key of a transaction is made.
_KEY_TEXTS: Final = ("account_id", "integration", "event", "transaction_id")
#: Columns of `keys` by which records are compared: those that are equal for one key, and those for one match key too.
_ONE_KEY: Final = ("account_id", "integration", "event", "transaction_key", "key_hash")
_ONE_MATCH: Final = ("key_hash", "match_digest")

_NUMBERS: Final = {"key_hash", "match_digest"}
_NO_IDS: Final = pl.Series("key", [], pl.String)


class ErasedFile(NamedTuple):
    """A file in which something was emptied: its table, path, number of rows, and rows by column."""

    table: str
    path: str
    rows: int
    columns: dict[str, int]


class _EmptiedTexts(NamedTuple):
    """The ids of conversions whose match key, or whose key of the transaction, was emptied."""

    matches: list[pl.Series]
    keys: list[pl.Series]


def erase_files(store: TableFiles, choose: Choose, person: Person | None = None) -> Iterator[ErasedFile]:
    """Empties what is personal in the chosen rows of all files, and hands the new rows to `store.write`.

    Args:
        store: The files.
        choose: Chooses the rows.
        person: Texts that name this person are emptied too.

    Raises:
        AccountingError: A value changed that must stay.
    """
    emptied = _EmptiedTexts([_NO_IDS], [_NO_IDS])
    for file in (one for one in store.files if one.table != "keys"):
        chosen = choose(file)
        if chosen is None:
            continue
        rows = file.read()
        erased = erase(rows, rows.select(chosen).to_series(), person)
        if erased.columns:
            _check_kept(file, rows, erased.rows)
            store.write(file, erased.rows)
            if "match_type" in rows.columns and file.table != "rejections":
                emptied.matches.append(_ids_of_emptied(file, rows, erased.rows, ["match_key"]))
                emptied.keys.append(_ids_of_emptied(file, rows, erased.rows, _KEY_TEXTS))
            yield ErasedFile(file.table, file.path, int(erased.is_changed.sum()), erased.columns)
    yield from _erase_keys(store, choose, person, emptied)


def _erase_keys(
    store: TableFiles, choose: Choose, person: Person | None, emptied: _EmptiedTexts
) -> Iterator[ErasedFile]:
    """Empties raw records and texts of `keys`, and replaces the numbers that were made of emptied texts."""
    files = [file for file in store.files if file.table == "keys"]
    by_key = _renumbered(files, pl.concat(emptied.keys), _ONE_KEY, "key_hash")
    by_match = _renumbered(files, pl.concat(emptied.matches), _ONE_MATCH, "match_digest")
    same = pl.concat([by_key["conversion_id"], by_match["conversion_id"]]).unique()
    for file in files:
        chosen = choose(file)
        if chosen is None and not _may_hold(file, same):
            continue
        rows = file.read()
        is_same_key = pl.col("conversion_id").is_in(by_key["conversion_id"].implode())
        erased = erase(rows, rows.select(is_same_key if chosen is None else chosen | is_same_key).to_series(), person)
        after = _with_numbers(_with_numbers(erased.rows, by_key), by_match)
        renumbered = {name: after[name] != rows[name] for name in sorted(_NUMBERS)}
        columns = erased.columns | {name: int(changed.sum()) for name, changed in renumbered.items() if changed.any()}
        if columns:
            _check_kept(file, rows, after)
            store.write(file, after)
            is_changed = erased.is_changed | renumbered["key_hash"] | renumbered["match_digest"]
            yield ErasedFile(file.table, file.path, int(is_changed.sum()), columns)


def _renumbered(files: Sequence[TableFile], ids: pl.Series, group: Sequence[str], column: str) -> pl.DataFrame:
    """Returns the new numbers of all keys that are equal to a key of the given ids: conversion_id and the column."""
    found = pl.DataFrame(schema={"conversion_id": pl.String, column: pl.Int64})
    if not len(ids) or not files:
        return found
    keys = pl.concat(file.rows.select("conversion_id", *group) for file in files)
    groups = files[0].read(keys.filter(pl.col("conversion_id").is_in(ids.implode())).select(group).unique())
    numbers = pl.Series("number", [secrets.randbits(63) for _ in range(groups.height)], pl.Int64)
    members = keys.join(groups.with_columns(numbers).lazy(), on=group, nulls_equal=True)
    return files[0].read(members.select("conversion_id", pl.col("number").alias(column)))


def _with_numbers(rows: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    """Puts new numbers into rows of `keys`."""
    column = numbers.columns[1]
    joined = rows.join(numbers, on="conversion_id", how="left", maintain_order="left", suffix="_now")
    return joined.with_columns(pl.coalesce(f"{column}_now", column).alias(column)).drop(f"{column}_now")


def _ids_of_emptied(file: TableFile, before: pl.DataFrame, after: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Returns the ids of rows in which one of the columns was emptied."""
    is_emptied = pl.Series([False]).new_from_index(0, before.height)
    for name in columns:
        is_emptied |= before[name].is_not_null() & after[name].is_null()
    return before[file.key].filter(is_emptied).alias("key")


def _may_hold(file: TableFile, ids: pl.Series) -> bool:
    """Returns whether a file may hold rows of ids, by its first and last key."""
    return file.bounds is None or bool(ids.is_between(*file.bounds).any())


def choose_records(ids: pl.Series) -> Choose:
    """Returns what chooses the rows of the records with given ids."""

    def choose(file: TableFile) -> pl.Expr | None:
        return pl.col(file.key).is_in(ids.implode()) if _may_hold(file, ids) else None

    return choose


def _check_kept(file: TableFile, before: pl.DataFrame, after: pl.DataFrame) -> None:
    """Checks that only columns with texts of records have changed.

    Raises:
        AccountingError: Another column has changed, or the number of rows.
    """
    kept = [
        name
        for name, dtype in before.schema.items()
        if not (dtype == pl.String and name in PERSONAL_COLUMNS | SENT_COLUMNS)
        and name not in _NUMBERS
        and not isinstance(dtype, pl.List)
    ]
    if not after.select(kept).equals(before.select(kept)):
        raise AccountingError(
            f"{file.path} would have lost more than personal values.", "Nothing was changed; report this."
        )


def summarised(files: Sequence[ErasedFile]) -> dict[str, Any]:
    """Returns what was emptied, by table: rows, rows by column and rows by file."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(file.table for file in files):
        of_table = [file for file in files if file.table == name]
        columns = sum((Counter(file.columns) for file in of_table), Counter[str]())
        found[name] = {
            "rows": sum(file.rows for file in of_table),
            "columns": dict(sorted(columns.items())),
            "files": {file.path: file.rows for file in of_table},
        }
    return found
