"""Names files of object stores as paths name files of folders, so that a run can write to either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from etl.errors import UsageError
from etl.sources.storage.object_stores import SCHEMES, error_reason, import_obstore, open_store, refuse_credentials


class StorePath(NamedTuple):
    """A file or folder of an object store: the store's address, and the path in it. It does what `Path` does."""

    store: str
    path: str

    def __str__(self) -> str:
        return f"{self.store}/{self.path}"

    def __truediv__(self, name: str) -> StorePath:
        return self._replace(path=f"{self.path}/{name}" if self.path else name)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.tag() is not None

    def tag(self) -> str | None:
        """Returns what changes whenever the file changes; None if there is no such file."""
        with _as_os_errors():
            try:
                return str(import_obstore().head(open_store(self.store), self.path)["e_tag"])
            except FileNotFoundError:
                return None

    def size(self) -> int:
        """Returns the size of the file in bytes."""
        with _as_os_errors():
            return int(import_obstore().head(open_store(self.store), self.path)["size"])

    def read_bytes(self) -> bytes:
        """Reads the file."""
        with _as_os_errors():
            return bytes(import_obstore().get(open_store(self.store), self.path).bytes())

    def write_bytes(self, data: bytes) -> None:
        """Writes the file, whole or not at all."""
        with _as_os_errors():
            import_obstore().put(open_store(self.store), self.path, data)

    def replace_bytes(self, data: bytes, tag: str | None) -> bool:
        """Writes the file if it still has a tag, or if there is still none for None; returns whether it did."""
        mode: Any = {"e_tag": tag} if tag else "create"
        errors = import_obstore().exceptions
        with _as_os_errors():
            try:
                import_obstore().put(open_store(self.store), self.path, data, mode=mode)
            except (errors.AlreadyExistsError, errors.PreconditionError):
                return False
        return True

    def files(self) -> list[StorePath]:
        """Lists the files of a folder and of the folders in it, in the order of their paths."""
        with _as_os_errors():
            listed = import_obstore().list(open_store(self.store), self.path or None)
            return sorted(self._replace(path=meta["path"]) for batch in listed for meta in batch)

    def folders(self) -> list[StorePath]:
        """Lists the folders in a folder."""
        with _as_os_errors():
            listed = import_obstore().list_with_delimiter(open_store(self.store), self.path or None)
            return [self._replace(path=path) for path in listed["common_prefixes"]]

    def delete_files(self) -> None:
        """Deletes the files of a folder and of the folders in it."""
        files = self.files()
        with _as_os_errors():
            for i in range(0, len(files), 1000):
                import_obstore().delete(open_store(self.store), [file.path for file in files[i : i + 1000]])


#: Where a run writes.
Folder = Path | StorePath


def folder_of(address: str | Path) -> Folder:
    """Returns the folder that an address names, of a disk or of a store.

    Raises:
        UsageError: There is no such kind of store, or the address contains credentials.
    """
    if "://" not in str(address):
        return Path(address)
    scheme, _, rest = str(address).partition("://")
    bucket, _, path = rest.partition("/")
    if scheme not in SCHEMES or not bucket:
        raise UsageError(f"{address} cannot hold tables.", f"Name a folder, or {', '.join(SCHEMES)}://BUCKET/PATH.")
    refuse_credentials(str(address), bucket)
    import_obstore()
    return StorePath(f"{scheme}://{bucket}", path.strip("/"))


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raises errors of a store as those that a disk raises."""
    try:
        yield
    except import_obstore().exceptions.BaseError as error:
        if isinstance(error, OSError):
            raise
        raise OSError(error_reason(error)) from error
