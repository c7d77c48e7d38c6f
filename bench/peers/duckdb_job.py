"""The job in DuckDB SQL, with two threads.

    python bench/peers/duckdb_job.py INPUT OUT [--hashes]

INPUT is a combined access log or a dump of envelopes in JSON lines (`.jsonl`), plain or `.gz`. The lines are read once
into a table, whose row ids are their numbers; what they become is a second table, from which the Parquet tables come.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import duckdb
from code_tables import code_tables, filled

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


#: Where the hashes stand in the list of columns, and the tables they come from.
HASHES: Final = """,
        digest(email, email_form(email)) AS email_sha256,
        CASE WHEN is_google(email_form(email)) THEN digest(email, google_form(email_form(email))) ELSE email_sha256 END
            AS email_google_sha256,
        phone_hashes.hash AS phone_sha256, phone_hashes.e164 AS phone_e164_sha256,
        first_names.hash AS first_name_sha256, last_names.hash AS last_name_sha256,
        birthdate_hashes.hash AS birthdate_sha256, city_sha256, state_sha256,
        zipcode_sha256, country_sha256"""
JOINS: Final = """
    LEFT JOIN phone_hashes ON phone = phone_hashes.sent
    LEFT JOIN name_hashes AS first_names ON first_name = first_names.sent
    LEFT JOIN name_hashes AS last_names ON last_name = last_names.sent
    LEFT JOIN birthdate_hashes ON birthdate = birthdate_hashes.sent
    LEFT JOIN place_hashes ON row(city, state, zipcode, country) = place"""


def main(source: str, out: str, *, has_hashes: bool) -> None:
    """Reads one input and writes the four tables."""
    Path(out).mkdir(parents=True, exist_ok=True)
    reader = "duckdb_dump.sql" if ".jsonl" in Path(source).name else "duckdb_log.sql"
    judged, written = (HERE / "duckdb_tables.sql").read_text().split("-- Written:\n")
    hashes = (HERE / "duckdb_hashes.sql").read_text() if has_hashes else ""
    script = LINES + (HERE / reader).read_text() + ";\n" + judged + hashes + written
    added = {"hashes": HASHES, "joins": JOINS} if has_hashes else {"hashes": "", "joins": ""}
    with duckdb.connect() as connection:
        connection.execute(
            filled(script, code_tables() | added | {"source": source, "out": out}).replace(r"\x01", "\x01")
        )


if __name__ == "__main__":
    main(*sys.argv[1:3], has_hashes="--hashes" in sys.argv)
