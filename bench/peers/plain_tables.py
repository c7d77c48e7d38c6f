"""The four tables of the plain-Python peer: rows gathered in lists, written a batch at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS: Final = 50_000
AT: Final = pa.timestamp("us", "UTC")
MONEY: Final = pa.decimal128(38, 9)

TABLES: Final = {
    "conversions": (
        "record_no:i64 account_id integration received_at:at occurred_at:at occurred_at_rule match_type match_key "
        "match_param click_id ref_id event event_rule conversion_type value:money value_param currency "
        "currency_defaulted:truth transaction_id brand_name email phone first_name last_name birthdate city state "
        "zipcode country name_rule item_count:i32 passthrough_count:i32 http_method http_status:i32 client_ip "
        "user_agent"
    ),
    "items": "record_no:i64 position:i32 item_id name variant price:money quantity:money",
    "passthroughs": "record_no:i64 position:i32 name value stored:truth",
    "rejections": (
        "record_no:i64 reason reasons:texts message duplicate_of:i64 duplicate_kind account_id integration "
        "received_at:at raw http_method http_status:i32"
    ),
}
TYPES: Final = {
    "": pa.string(),
    "i64": pa.int64(),
    "i32": pa.int32(),
    "truth": pa.bool_(),
    "at": AT,
    "money": MONEY,
    "texts": pa.list_(pa.string()),
}


def schema_of(columns: str) -> pa.Schema:
    """The schema that a line of `name:type` words says; a word without a type is text."""
    words = (word.partition(":") for word in columns.split())
    return pa.schema([(name, TYPES[kind]) for name, _, kind in words])


def column(values: tuple[Any, ...], dtype: pa.DataType) -> pa.Array:
    """One column; amounts come as text, which Arrow reads faster than Decimals."""
    return pa.array(values, pa.string()).cast(MONEY) if dtype == MONEY else pa.array(values, dtype)


class Writers:
    """One list of rows and one Parquet file a table."""

    def __init__(self, out: Path, added: str = "") -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.schemas = {name: schema_of(columns) for name, columns in TABLES.items()}
        self.schemas["conversions"] = schema_of(f"{TABLES['conversions']} {added}")
        self.conversions: list[tuple[Any, ...]] = []
        self.items: list[tuple[Any, ...]] = []
        self.passthroughs: list[tuple[Any, ...]] = []
        self.rejections: list[tuple[Any, ...]] = []
        self.files = {
            name: pq.ParquetWriter(out / f"{name}.parquet", schema, compression="zstd", compression_level=1)
            for name, schema in self.schemas.items()
        }

    def flush_full(self) -> None:
        """Writes all tables once there is a batch of conversions."""
        if len(self.conversions) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes what has been gathered as one row group a table."""
        for name, schema in self.schemas.items():
            rows = getattr(self, name)
            if rows:
                columns = [
                    column(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                self.files[name].write_table(pa.table(columns, schema=schema))
                rows.clear()

    def close(self) -> None:
        """Writes the rest."""
        self.flush()
        for file in self.files.values():
            file.close()
