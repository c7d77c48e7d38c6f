"""The job in DuckDB SQL, with two threads.

    python bench/peers/duckdb_job.py INPUT OUT

INPUT is a combined access log or a dump of envelopes in JSON lines (`.jsonl`), plain or `.gz`. The lines are read once
into a table, whose row ids are their numbers; what they become is a second table, from which the Parquet tables come.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import duckdb

HERE: Final = Path(__file__).parent

#: A CSV of one column: no delimiter, quote or escape occurs in a line.
LINES: Final = r"""
SET threads = 2;
SET TimeZone = 'UTC';
CREATE TEMP TABLE lines AS
SELECT line FROM read_csv(
    '{source}', columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', header = false,
    auto_detect = false, max_line_size = 16777216);
SET preserve_insertion_order = false;
CREATE MACRO elements_of(sent) AS CASE
    WHEN json_valid(sent) AND json_type(sent) = 'ARRAY' THEN sent::JSON[]
    WHEN json_valid(sent) AND json_type(sent) = 'OBJECT' THEN [sent::JSON] END;
CREATE MACRO list_distinct_in_order(names) AS list_filter(names, lambda n, i: list_position(names, n) = i);
"""


def main(source: str, out: str) -> None:
    """Reads one input and writes the four tables."""
    Path(out).mkdir(parents=True, exist_ok=True)
    reader = "duckdb_dump.sql" if ".jsonl" in Path(source).name else "duckdb_log.sql"
    script = LINES + (HERE / reader).read_text() + ";\n" + (HERE / "duckdb_tables.sql").read_text()
    with duckdb.connect() as connection:
        connection.execute(script.replace("{source}", source).replace("{out}", out).replace(r"\x01", "\x01"))


if __name__ == "__main__":
    main(*sys.argv[1:])
