"""The tables of a store as relations of a database: their rows, types, keys and comments, in SQL of any database.

A conversion's list of issues becomes the rows of a child table. The table `_postback_etl` says which store the tables
are of; by this table a later export knows that it may replace them.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import masked
from etl.runner.published_tables import Published
from etl.schema import (
    CONVERSIONS,
    INSTANT,
    INT,
    ISSUES,
    ITEMS,
    MONEY,
    PASSTHROUGHS,
    REJECTIONS,
    SMALL,
    TEXT,
    TRUTH,
    Column,
    Table,
)
from etl.warehouse.stores import Period

ORIGIN: Final = Table(
    "_postback_etl",
    "an export: the store whose tables these are",
    (
        Column("store", TEXT, "the folder of a run, warehouse or export, as given"),
        Column("snapshot", TEXT, "of a warehouse: the run whose rows are the last; else null"),
        Column("ruleset", TEXT, "name of the ruleset; of a warehouse, that of the last load"),
        Column("ruleset_digest", TEXT, "digest of the ruleset"),
        Column("since", INSTANT, "only postbacks received at or after this time; null is no limit"),
        Column("until", INSTANT, "only postbacks received before this time; null is no limit"),
        Column("version", TEXT, "version of postback-etl"),
    ),
)

_SQL_TYPES: Final[dict[pl.DataType, str]] = {
    TEXT: "text",
    INT: "bigint",
    SMALL: "integer",
    TRUTH: "boolean",
    INSTANT: "timestamp with time zone",
    MONEY: "decimal(38, 9)",
    pl.List(TEXT): "text[]",
}


class Relation(NamedTuple):
    """A table of the database.

    Attributes:
        table: Its columns.
        rows: Its rows.
        key: The columns of its primary key; none: it has no key.
        references: The columns that name a conversion.
    """

    table: Table
    rows: pl.LazyFrame
    key: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    def create_statement(self, constraints: tuple[str, ...] = ()) -> str:
        """Returns the statement that creates the table."""
        columns = (f"{quoted(column.name)} {_SQL_TYPES[column.dtype]}" for column in self.table.columns)
        return f"create table {quoted(self.name)} ({', '.join((*columns, *constraints))})"

    @property
    def constraints(self) -> tuple[str, ...]:
        """Its primary key and foreign keys."""
        keys = [f"primary key ({', '.join(map(quoted, self.key))})"] if self.key else []
        keys += [f"foreign key ({quoted(column)}) references conversions (conversion_id)" for column in self.references]
        return tuple(keys)


def relations_of(published: Published, period: Period) -> list[Relation]:
    """Returns the tables of a store; those that others refer to come first.

    A part of a store may lack the conversion of which a rejection is a duplicate, so only a whole store says that each
    `duplicate_of` names one.
    """
    is_whole = period == Period() and "warehouse" not in published.manifest
    columns = tuple(column for column in CONVERSIONS.columns if column.name != "issues")
    child = {"key": ("conversion_id", "position"), "references": ("conversion_id",)}
    return [
        Relation(ORIGIN, _origin(published, period)),
        Relation(
            CONVERSIONS._replace(columns=columns),
            published.conversions.select(pl.exclude("issues")),
            ("conversion_id",),
        ),
        Relation(ISSUES, _issues(published.conversions), **child),
        Relation(ITEMS, published.items, **child),
        Relation(PASSTHROUGHS, published.passthroughs, **child),
        Relation(REJECTIONS, published.rejections, ("rejection_id",), ("duplicate_of",) if is_whole else ()),
    ]


def comments(kind: str, table: Table) -> list[str]:
    """Returns the statements that describe a table or view, and its columns."""
    name = quoted(table.name)
    return [
        f"comment on {kind} {name} is {literal(f'One row is {table.one_row}.')}",
        *(f"comment on column {name}.{quoted(one.name)} is {literal(one.meaning)}" for one in table.columns),
    ]


def quoted(name: str) -> str:
    """Returns an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Returns a text of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _issues(conversions: pl.LazyFrame) -> pl.LazyFrame:
    """Returns one row for each issue, by its place in the conversion's list."""
    count = pl.col("issues").list.len()
    listed = conversions.filter(count > 0).select(
        "conversion_id", "issues", position=pl.int_ranges(count, dtype=pl.Int32)
    )
    return listed.explode("issues", "position").unnest("issues").select(ISSUES.names)


def _origin(published: Published, period: Period) -> pl.LazyFrame:
    """Returns the row of `ORIGIN`."""
    ruleset: dict[str, Any] = published.manifest.get("ruleset") or {}
    row = {
        "store": masked(published.store),
        "snapshot": published.manifest.get("snapshot"),
        "ruleset": ruleset.get("name"),
        "ruleset_digest": ruleset.get("digest"),
        "since": period.since,
        "until": period.until,
        "version": version("postback-etl"),
    }
    return pl.LazyFrame([row], schema=ORIGIN.schema)
