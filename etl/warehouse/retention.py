"""`retain` drops raw records and what is personal from the rows of a warehouse that are older than a number of days."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from etl.errors import UsageError
from etl.privacy.erasure import erase
from etl.runner.stage_inputs import SILENT, Progress, run_id
from etl.schema import PERSONAL_COLUMNS, SENT_COLUMNS
from etl.warehouse.erased_files import Choose, erase_files, summarised
from etl.warehouse.table_files import TableFile, TableFiles, open_tables
from etl.warehouse.table_layout import BY_NAME, id_prefix, prefix_of


def read_period(text: str) -> int:
    """Returns the number of days of a period such as `400d`.

    Raises:
        UsageError: The text is no such period.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})d", text.strip())
    if not match:
        raise UsageError(f"{text!r} is not a period.", "Give a number of days, such as 400d.")
    return int(match[1])


def retain(
    address: str, days: int, *, is_dry_run: bool = False, today: date | None = None, progress: Progress = SILENT
) -> dict[str, Any]:
    """Empties what is personal in all rows that were received before the last so many days (UTC).

    A row without a time counts as received when its input was loaded.

    Args:
        address: The warehouse.
        days: The number of days.
        is_dry_run: Say what would be emptied, and empty nothing.
        today: The present day; by default that of the clock.
        progress: Receives the phase in which the warehouse changes.

    Returns:
        `run_id` (null if nothing was written), `before`, the first day that stays, and the rows that change by table,
        column and file.

    Raises:
        UsageError: There is no such warehouse.
        EtlError: It failed; the warehouse is unchanged.
    """
    first = (today or datetime.now(UTC).date()) - timedelta(days=days)
    run = run_id()
    with open_tables(address, is_writing=not is_dry_run, run=run) as store:
        if store.warehouse is None:
            raise UsageError(f"{address} is not a warehouse.", "Name a warehouse that `load` has written.")
        opened = store._replace(write=lambda file, rows: None) if is_dry_run else store
        files = list(erase_files(opened, _choose_older(store, first)))
        if files and not is_dry_run:
            progress.begin("publishing", 0)
            store.publish(command="loads retention", before=str(first), rows=str(sum(file.rows for file in files)))
    return {
        "run_id": run if files and not is_dry_run else None,
        "before": first,
        "tables": summarised(files),
    }


def _choose_older(store: TableFiles, first: date) -> Choose:
    """Returns what chooses rows that were received before a day; those without a time by the day of the load."""
    loaded = dict(zip(map(prefix_of, store.inputs["digest"]), store.inputs["loaded_at"].dt.date(), strict=True))

    def choose(file: TableFile) -> pl.Expr | None:
        of_load = id_prefix(file.key).replace_strict(loaded, default=None, return_dtype=pl.Date) < first
        if not BY_NAME[file.table].is_dated:
            is_older = pl.coalesce(pl.col("received_at").dt.date() < first, of_load).fill_null(False)
        elif file.day is None:
            is_older = of_load.fill_null(False)
        elif file.day < first:
            is_older = pl.col(file.key).is_not_null()
        else:
            return None
        return is_older if _holds_personal(file, is_older) else None

    return choose


def _holds_personal(file: TableFile, is_chosen: pl.Expr) -> bool:
    """Returns whether something is left to empty in rows of a file; only the columns that decide it are read."""
    names = PERSONAL_COLUMNS | SENT_COLUMNS | {"match_type", "stored"}
    columns = [
        name for name, dtype in file.rows.collect_schema().items() if name in names or isinstance(dtype, pl.List)
    ]
    rows = file.read(file.rows.filter(is_chosen).select(columns))
    return bool(erase(rows, pl.repeat(True, rows.height, eager=True)).columns)
