"""Published tables, asked in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from etl.schema import TABLES


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query in which `{conversions}` and the other tables are their files."""
    tables = {table.name: f"read_parquet('{folder}/{table.name}/*.parquet')" for table in TABLES}
    return duckdb.sql("set timezone='UTC'; " + sql.format(**tables)).fetchall()
