"""What lies in a warehouse: the four tables, the loads, and the state by which later loads can change earlier rows.

    WAREHOUSE/snapshot.json     the version of every table: what counts
    WAREHOUSE/conversions/      items/ passthroughs/ rejections/: the contract's tables, by received_date
    WAREHOUSE/loads/            one row an input
    WAREHOUSE/state/keys/       what deduplication compares of every conversion with a transaction, and its raw record
    WAREHOUSE/state/withheld/   the conversions that are duplicates, with their items and passthroughs

A conversion that becomes a duplicate needs its raw record, which `keys` has; a duplicate that becomes a conversion
needs all it was, which `withheld` has.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from etl.schema import CONVERSIONS, INSTANT, INT, ITEMS, KEYS, PASSTHROUGHS, REJECTIONS, TEXT, Column, Table
from etl.transform.record_ids import DIGEST_DIGITS, NUMBER_DIGITS

RECEIVED_DATE: Final = Column("received_date", pl.Date(), "the UTC day of received_at; null where that is")

_TEXTS: Final = pl.List(TEXT)
_COUNTS: Final = pl.List(pl.Struct({"reason": pl.String, "count": pl.Int64}))
_REPLAY: Final = pl.Struct(
    {
        "run_id": TEXT,
        "replayed_at": INSTANT,
        "ruleset": TEXT,
        "ruleset_digest": TEXT,
        "passed": INT,
        "changed": INT,
        "skipped": INT,
    }
)

LOADS: Final = Table(
    "loads",
    "an input that is loaded",
    (
        Column("digest", TEXT, "SHA-256 of its decompressed bytes, hex"),
        Column("source", TEXT, "the first of its names, which its rows bear"),
        Column("names", _TEXTS, "the paths under which it was seen, in their order"),
        Column("format", TEXT, "the format it was read in"),
        Column("bytes", INT, "its size, decompressed"),
        Column("records", INT, "records = conversions + rejections + skipped"),
        Column("conversions", INT, "conversions it brought, those included that are duplicates of others"),
        Column("items", INT, "items of these"),
        Column("passthroughs", INT, "passthroughs of these"),
        Column("rejections", _COUNTS, "rejections by reason, without duplicates"),
        Column("skipped", _COUNTS, "skipped records by reason"),
        Column("ruleset", TEXT, "name of the ruleset"),
        Column("ruleset_digest", TEXT, "digest of the ruleset"),
        Column("rules_digest", TEXT, "digest of all that decides what its records become: ruleset, options, formats"),
        Column("run_id", TEXT, "the load that brought it"),
        Column("loaded_at", INSTANT, "when"),
        Column("first_received_at", INSTANT, "the earliest received_at of its rows"),
        Column("last_received_at", INSTANT, "the latest"),
        Column("grew_from", _TEXTS, "digests of inputs that this one begins with and has replaced"),
        Column("ladder", pl.Binary(), "digests of its beginnings"),
        Column("reading", TEXT, "what its records need to be read and judged again beside a ruleset, as JSON"),
        Column(
            "replays", pl.List(_REPLAY), "when its rejections were judged again, by what rules, and what came of it"
        ),
    ),
)

_HASHES: Final = ("key_hash", "match_digest")
STORED_KEYS: Final = Table(
    "keys",
    "a conversion that can repeat another: what deduplication compares, and its raw record",
    (
        *(Column(c.name, INT, c.meaning) if c.name in _HASHES else c for c in KEYS.columns),
        Column("raw", TEXT, "the whole record, personal values replaced by --pii"),
    ),
)

WITHHELD: Final = Table(
    "withheld",
    "a conversion that is a duplicate of another, with all it would have",
    (
        *CONVERSIONS.columns,
        *(Column(t.name, pl.List(pl.Struct(dict(t.schema))), f"its rows of {t.name}") for t in (ITEMS, PASSTHROUGHS)),
    ),
)


class Kept(NamedTuple):
    """One Delta table of a warehouse.

    Attributes:
        table: Its columns; a dated one has `received_date` beside them.
        folder: Where it lies.
        key: The column that names a row; rows of a conversion are named by it.
        is_dated: It is partitioned by `received_date`.
    """

    table: Table
    folder: str
    key: str
    is_dated: bool

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def schema(self) -> pl.Schema:
        """All columns, `received_date` included."""
        columns = (*self.table.columns, RECEIVED_DATE) if self.is_dated else self.table.columns
        return pl.Schema({column.name: column.dtype for column in columns})


KEPT: Final = (
    Kept(STORED_KEYS, "state/keys", "conversion_id", is_dated=False),
    Kept(WITHHELD, "state/withheld", "conversion_id", is_dated=False),
    Kept(CONVERSIONS, "conversions", "conversion_id", is_dated=True),
    Kept(ITEMS, "items", "conversion_id", is_dated=True),
    Kept(PASSTHROUGHS, "passthroughs", "conversion_id", is_dated=True),
    Kept(REJECTIONS, "rejections", "rejection_id", is_dated=True),
    Kept(LOADS, "loads", "digest", is_dated=False),
)
BY_NAME: Final = {kept.name: kept for kept in KEPT}

#: The tables of the contract.
PUBLIC: Final = ("conversions", "items", "passthroughs", "rejections")


def prefix_of(digest: str) -> str:
    """What the ids of an input's rows begin with (rules 10.2)."""
    return digest[:DIGEST_DIGITS]


def id_prefix(key: str) -> pl.Expr:
    """The same, of a column of ids."""
    return pl.col(key).str.slice(0, DIGEST_DIGITS)


def id_bounds(digest: str) -> tuple[str, str]:
    """The first and the last id that an input's rows can have."""
    return prefix_of(digest) + "0" * NUMBER_DIGITS, prefix_of(digest) + "f" * NUMBER_DIGITS


def dated(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with `received_at`, and the day of it beside them."""
    return rows.with_columns(received_date=pl.col("received_at").dt.date())
