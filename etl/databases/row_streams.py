"""Hands rows to a database as Arrow batches, as fast as it takes them: the rows of a table are never in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import AccountingError, EtlError, InputError, InterruptedRunError
from etl.schema import TEXT

#: Rows of a batch, about.
_ROWS: Final = 20_000
_NUL, _REPLACEMENT = "\0", "\ufffd"


class Copied(NamedTuple):
    """The result for one table.

    Attributes:
        table: Name of the table.
        rows: Rows that were written.
        replaced: Values that held U+0000, which the database cannot store; they hold U+FFFD in its place.
    """

    table: str
    rows: int
    replaced: int


class RowStream:
    """The rows of a table as Arrow batches.

    Args:
        name: Name of the table.
        rows: The rows.
        takes_nul: The database stores U+0000.
    """

    def __init__(self, name: str, rows: pl.LazyFrame, *, takes_nul: bool) -> None:
        self._name, self._rows, self._takes_nul = name, rows, takes_nul
        self._texts = [column for column, dtype in rows.collect_schema().items() if dtype == TEXT]
        self._read = self._replaced = 0
        self._error: BaseException | None = None
        self._is_stopped = False

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Yields the reader of the batches.

        Raises:
            InputError: The rows cannot be read. The database would only say that a reader has failed.
        """
        import pyarrow as pa

        empty = self._rows.collect_schema().to_frame()
        try:
            yield pa.RecordBatchReader.from_batches(_arrow(empty).schema, self._batches())
        except Exception as error:
            failed = self._error
            if failed is None or isinstance(failed, EtlError):
                raise failed or error from error
            reason = str(failed).partition("\n")[0][:200]
            raise InputError(f"The tables cannot be read: {reason}", "Check the store, and run again.") from failed

    def stop(self) -> None:
        """Has the reader fail at its next batch."""
        self._is_stopped = True

    def copied(self, written: int) -> Copied:
        """Returns the counts.

        Args:
            written: Rows that the database has, as it says.

        Raises:
            AccountingError: The database has fewer or more rows than were read.
        """
        if written != self._read:
            raise AccountingError(
                f"{self._name}: {self._read} rows were read, but {written} were written.", "Report this with the store."
            )
        return Copied(self._name, written, self._replaced)

    def _batches(self) -> Iterator[Any]:
        """Yields the batches, and keeps the error of a reader."""
        try:
            for rows in self._rows.collect_batches(chunk_size=_ROWS, lazy=True, engine="streaming"):
                self._check_stop()
                self._read += rows.height
                yield from _arrow(rows if self._takes_nul else self._without_nul(rows)).to_batches()
        except Exception as error:
            self._error = error
            raise

    def _check_stop(self) -> None:
        """Raises an error if the reader shall fail."""
        if self._is_stopped:
            raise InterruptedRunError

    def _without_nul(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Replaces U+0000 in texts."""
        texts = pl.col(self._texts)
        found = rows.select(texts.str.contains(_NUL, literal=True).sum()).row(0)
        if not any(found):
            return rows
        self._replaced += sum(found)
        return rows.with_columns(texts.str.replace_all(_NUL, _REPLACEMENT, literal=True))


def _arrow(rows: pl.DataFrame) -> Any:
    """Returns rows as an Arrow table whose texts have the layout that all drivers know."""
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())
