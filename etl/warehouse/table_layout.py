"""The tables of a warehouse: the four tables, the loads, and the state by which later loads can change earlier rows.

    WAREHOUSE/snapshot.json     the version of every table that readers see
    WAREHOUSE/conversions/      items/ passthroughs/ rejections/: the contract's tables, by received_date
    WAREHOUSE/loads/            one row for each input
    WAREHOUSE/state/keys/       one row for each conversion with a transaction id: what is compared, and the raw record
    WAREHOUSE/state/withheld/   one row for each conversion that is a duplicate, with its items and passthroughs

If a conversion becomes a duplicate, its rejection needs the raw record, which `keys` holds. If a duplicate becomes a
conversion, its rows come from `withheld`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from etl.schema import CONVERSIONS, INSTANT, INT, ITEMS, KEYS, PASSTHROUGHS, REJECTIONS, TEXT, Column, Table
from etl.steps.record_ids import DIGEST_DIGITS, NUMBER_DIGITS

RECEIVED_DATE: Final = Column("received_date", pl.Date(), "the UTC day of received_at; null if received_at is null")

_TEXTS: Final = pl.List(TEXT)
_COUNTS: Final = pl.List(pl.Struct({"reason": pl.String, "count": pl.Int64}))
_NAMES: Final = pl.List(pl.Struct({"name": pl.String, "count": pl.Int64}))
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
    "a loaded input",
    (
        Column("digest", TEXT, "SHA-256 of the input's decompressed bytes, hex"),
        Column("source", TEXT, "the first of its names, which is the source of its rows"),
        Column("names", _TEXTS, "all paths under which it was found, in alphabetical order"),
        Column("format", TEXT, "its format"),
        Column("bytes", INT, "its decompressed size"),
        Column("records", INT, "records = conversions + rejections + skipped"),
        Column("conversions", INT, "its conversions, including those that are duplicates"),
        Column("items", INT, "items of these conversions"),
        Column("passthroughs", INT, "passthroughs of these conversions"),
        Column("rejections", _COUNTS, "its rejections by reason, without duplicates"),
        Column("skipped", _COUNTS, "its skipped records by reason"),
        Column("ruleset", TEXT, "name of the ruleset"),
        Column("ruleset_digest", TEXT, "digest of the ruleset"),
        Column(
            "rules_digest",
            TEXT,
            "digest of everything that decides what its records become: ruleset, options, formats",
        ),
        Column("run_id", TEXT, "the load that wrote its rows"),
        Column("loaded_at", INSTANT, "when that load wrote them"),
        Column("first_received_at", INSTANT, "the earliest received_at of its rows"),
        Column("last_received_at", INSTANT, "the latest received_at of its rows"),
        Column("grew_from", _TEXTS, "digests of inputs that this input begins with and has replaced"),
        Column("ladder", pl.Binary(), "digests of its first bytes, at growing sizes"),
        Column("reading", TEXT, "the settings by which its kept records can be read again, as JSON"),
        Column("replays", pl.List(_REPLAY), "each replay of its rejections: time, ruleset, and counts of the outcomes"),
        Column("rules_version", INT, "version of the rulings by which its records were judged; null means 1"),
        Column(
            "unrecognised",
            _NAMES,
            "its most frequent unread parameters, at most 100; none that may be personal",
        ),
        Column("emptied", pl.List(INT), "numbers of the records that `forget-person` has emptied, in whatever load"),
    ),
)

_HASHES: Final = ("key_hash", "match_digest")
STORED_KEYS: Final = Table(
    "keys",
    "a conversion whose transaction id can repeat an earlier id: the values that are compared, and the raw record",
    (
        *(Column(c.name, INT, c.meaning) if c.name in _HASHES else c for c in KEYS.columns),
        Column("raw", TEXT, "the whole record, personal values replaced by --pii"),
    ),
)

WITHHELD: Final = Table(
    "withheld",
    "a conversion that is a duplicate, with its items and passthroughs",
    (
        *CONVERSIONS.columns,
        *(Column(t.name, pl.List(pl.Struct(dict(t.schema))), f"its rows of {t.name}") for t in (ITEMS, PASSTHROUGHS)),
    ),
)


class StoredTable(NamedTuple):
    """A Delta table of a warehouse.

    Attributes:
        table: The columns of the table; a dated table has `received_date` too.
        folder: Its folder in the warehouse.
        key: The column that identifies a row, or the conversion of a row.
        is_dated: The table is partitioned by `received_date`.
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


STORED_TABLES: Final = (
    StoredTable(STORED_KEYS, "state/keys", "conversion_id", is_dated=False),
    StoredTable(WITHHELD, "state/withheld", "conversion_id", is_dated=False),
    StoredTable(CONVERSIONS, "conversions", "conversion_id", is_dated=True),
    StoredTable(ITEMS, "items", "conversion_id", is_dated=True),
    StoredTable(PASSTHROUGHS, "passthroughs", "conversion_id", is_dated=True),
    StoredTable(REJECTIONS, "rejections", "rejection_id", is_dated=True),
    StoredTable(LOADS, "loads", "digest", is_dated=False),
)
BY_NAME: Final = {stored.name: stored for stored in STORED_TABLES}

#: The tables of the contract.
PUBLIC: Final = ("conversions", "items", "passthroughs", "rejections")


def prefix_of(digest: str) -> str:
    """Returns the digits with which the ids of an input's rows begin (rules 10.2)."""
    return digest[:DIGEST_DIGITS]


def id_prefix(key: str) -> pl.Expr:
    """Returns the same digits of each id in a column, as an expression."""
    return pl.col(key).str.slice(0, DIGEST_DIGITS)


def id_bounds(digest: str) -> tuple[str, str]:
    """Returns the lowest and the highest id that a row of an input can have."""
    return prefix_of(digest) + "0" * NUMBER_DIGITS, prefix_of(digest) + "f" * NUMBER_DIGITS


def id_of(digest: str, number: int) -> str:
    """Returns the id of a record of an input."""
    return f"{prefix_of(digest)}{number:0{NUMBER_DIGITS}x}"


def number_of(row_id: str) -> int:
    """Returns the number of the record of an id."""
    return int(row_id[DIGEST_DIGITS:], 16)


def with_received_date(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds `received_date`, the day of `received_at`, to rows."""
    return rows.with_columns(received_date=pl.col("received_at").dt.date())
