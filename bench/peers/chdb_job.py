"""The job in ClickHouse SQL, run by `chdb` in this process with two threads.

    python bench/peers/chdb_job.py INPUT OUT

INPUT is a combined access log or a dump of envelopes in JSON lines (`.jsonl`), plain or `.gz`. The log or dump is read
once, into a table in memory from which the four Parquet tables are written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from chdb.session import Session

HERE: Final = Path(__file__).parent

#: As the others write: zstd at level 1, statistics, neither Bloom filters nor page indexes.
SETTINGS: Final = """
SET max_threads = 2, engine_file_truncate_on_insert = 1,
    output_format_parquet_compression_method = 'zstd', output_format_compression_level = 1,
    output_format_parquet_write_bloom_filter = 0, output_format_parquet_write_page_index = 0;
"""


def main(source: str, out: str) -> None:
    """Reads one input and writes the four tables."""
    Path(out).mkdir(parents=True, exist_ok=True)
    reader = "chdb_dump.sql" if ".jsonl" in Path(source).name else "chdb_log.sql"
    script = SETTINGS + (HERE / reader).read_text() + ";\n" + (HERE / "chdb_tables.sql").read_text()
    with Session() as session:
        for statement in script.split(";\n"):
            if statement.strip():
                session.query(statement.replace("{source}", source).replace("{out}", out))


if __name__ == "__main__":
    main(*(str(Path(argument).resolve()) for argument in sys.argv[1:]))
