"""The job in ClickHouse SQL, run by `chdb` in this process with two threads.

    python bench/peers/chdb_job.py INPUT OUT [--hashes]

INPUT is a combined access log or a dump of envelopes in JSON lines (`.jsonl`), plain or `.gz`. The log or dump is read
once, into a table in memory from which the four Parquet tables are written. `--hashes` adds the hashes of the traits.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from chdb.session import Session
from code_tables import code_tables, filled

HERE: Final = Path(__file__).parent

#: As the others write: zstd at level 1, statistics, neither Bloom filters nor page indexes.
SETTINGS: Final = """
SET max_threads = 2, engine_file_truncate_on_insert = 1,
    output_format_parquet_compression_method = 'zstd', output_format_compression_level = 1,
    output_format_parquet_write_bloom_filter = 0, output_format_parquet_write_page_index = 0;
"""


#: Where the hashes stand in the list of columns.
HASHES: Final = """,
    digest(email, email_form(email)) AS email_sha256,
    if(is_google(email_form(email)), digest(email, google_form(email_form(email))), email_sha256)
        AS email_google_sha256,
    joinGet('phone_hashes', 'hash', phone) AS phone_sha256, joinGet('phone_hashes', 'e164', phone) AS phone_e164_sha256,
    joinGet('name_hashes', 'hash', first_name) AS first_name_sha256,
    joinGet('name_hashes', 'hash', last_name) AS last_name_sha256,
    joinGet('birthdate_hashes', 'hash', birthdate) AS birthdate_sha256,
    joinGet('city_hashes', 'hash', city) AS city_sha256,
    joinGet('state_hashes', 'hash', state, country) AS state_sha256,
    joinGet('zipcode_hashes', 'hash', zipcode, country) AS zipcode_sha256,
    joinGet('country_hashes', 'hash', country) AS country_sha256"""


def main(source: str, out: str, *, has_hashes: bool) -> None:
    """Reads one input and writes the four tables."""
    Path(out).mkdir(parents=True, exist_ok=True)
    reader = "chdb_dump.sql" if ".jsonl" in Path(source).name else "chdb_log.sql"
    tables = (HERE / "chdb_tables.sql").read_text()
    judged, written = tables.split("-- Written:\n")
    hashes = (HERE / "chdb_hashes.sql").read_text() if has_hashes else ""
    script = SETTINGS + (HERE / reader).read_text() + ";\n" + judged + hashes + written
    names = code_tables() | {"source": source, "out": out, "hashes": HASHES if has_hashes else ""}
    with Session() as session:
        for statement in script.split(";\n"):
            if statement.strip():
                session.query(filled(statement, names))


if __name__ == "__main__":
    main(*(str(Path(argument).resolve()) for argument in sys.argv[1:3]), has_hashes="--hashes" in sys.argv)
