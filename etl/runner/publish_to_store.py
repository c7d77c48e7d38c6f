"""Publishes tables in an object store: a folder for each run, and one manifest that lists the files of the latest.

Stores cannot swap folders. So each run writes into a folder of its own, and publishes by one put of the manifest, which
fails if another run has put one meanwhile. Readers take the files that the manifest lists, and never see half a run.

A run that has published deletes the folders of runs that began a week before it, or earlier: what killed runs left, and
former tables. No run at work loses a file that it could still publish, since it began before this manifest was put.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import orjson

from etl.errors import OutputError, UsageError
from etl.runner.parquet import files_of
from etl.runner.publish import MANIFEST
from etl.schema import TABLES
from etl.sources.storage.store_paths import StorePath

_STAGING: Final = "_staging"

#: How long the folders of earlier runs stay, for their readers.
_KEPT: Final = timedelta(days=7)

_RUN: Final = re.compile(r"run-\d{8}T\d{6}Z-[0-9a-f]{8}")


@dataclass
class StoreStage:
    """The staging folder of a run, and the folder of its files.

    Attributes:
        out: The destination.
        run: The name of both folders.
        tag: The manifest's tag when the run began; None if there was none.
        is_published: Whether the run is published.
    """

    out: StorePath
    run: str
    tag: str | None
    is_published: bool = False

    @property
    def pieces(self) -> StorePath:
        """The folder in which workers stage tables."""
        return self.out / _STAGING / self.run

    @property
    def new(self) -> StorePath:
        """The folder that holds one folder for each table."""
        return self.out / self.run

    def publish(self, manifest: dict[str, Any]) -> None:
        """Puts the manifest, with the paths of the files of each table from the destination.

        Raises:
            OutputError: Another run has published meanwhile, or the store cannot be written.
        """
        prefix = len(str(self.out)) + 1
        files = {table.name: [str(file)[prefix:] for file in files_of(self.new, table.name)] for table in TABLES}
        content = orjson.dumps({**manifest, "files": files}, option=orjson.OPT_INDENT_2) + b"\n"
        try:
            self.is_published = (self.out / MANIFEST).replace_bytes(content, self.tag)
        except OSError as error:
            raise _store_error(self.out, error) from error
        if not self.is_published:
            raise OutputError(
                f"{self.out} was published by another run meanwhile.", "Run again, or name another --out."
            )


@contextmanager
def staged_in_store(out: StorePath) -> Iterator[StoreStage]:
    """Opens a folder of a store for a run. What was staged is deleted at the end, and so are files of a failed run.

    Raises:
        UsageError: The destination holds files that this tool did not write.
        OutputError: The store cannot be read.
    """
    try:
        tag = (out / MANIFEST).tag()
        foreign = [] if tag else [file for file in out.files() if not _is_own(str(file)[len(str(out)) + 1 :])]
    except OSError as error:
        raise _store_error(out, error) from error
    if foreign:
        raise UsageError(
            f"--out {str(out)!r} holds {foreign[0].name!r}, which this tool did not write.",
            "Name a folder that is empty or holds an earlier run's tables.",
        )
    began = datetime.now(UTC)
    stage = StoreStage(out, f"{_prefix(began)}-{uuid4().hex[:8]}", tag)
    try:
        yield stage
    finally:
        with suppress(OSError):
            stage.pieces.delete_files()
            if stage.is_published:
                _delete_older(out, _prefix(began - _KEPT))
            else:
                stage.new.delete_files()


def _prefix(began: datetime) -> str:
    """Returns how the names of runs begin that began at a time; later ones come later."""
    return f"run-{began:%Y%m%dT%H%M%SZ}"


def _delete_older(out: StorePath, first: str) -> None:
    """Deletes the folders of runs whose names come before a name."""
    for place in (out, out / _STAGING):
        for folder in place.folders():
            if _RUN.fullmatch(folder.name) and folder.name < first:
                folder.delete_files()


def _is_own(path: str) -> bool:
    """Whether a run that was killed, or is at work, wrote a file."""
    return path.startswith((f"{_STAGING}/", "run-"))


def _store_error(out: StorePath, error: OSError) -> OutputError:
    """Returns the error for a store that cannot be read or written."""
    return OutputError(
        f"--out {str(out)!r} cannot be reached: {error}",
        "Check the bucket, the credentials and the endpoint in the environment (AWS_*, GOOGLE_*, AZURE_*).",
    )
