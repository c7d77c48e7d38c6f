"""Finds and opens the objects of stores: S3, Google Cloud Storage and Azure."""

from __future__ import annotations

import fnmatch
import re
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from etl.errors import InputError, MissingInputError, UsageError


class StoredObject(NamedTuple):
    """An object in a store: the store's address, and the object's path and size."""

    store: str
    path: str
    size: int


SCHEMES: Final = ("s3", "gs", "az")

_ADDRESS: Final = re.compile(r"([a-z][a-z0-9]*)://([^/]+)/?(.*)", re.DOTALL)
_GLOB: Final = re.compile(r"[*?\[]")


def find_objects(address: str) -> list[StoredObject]:
    """Lists the objects that an address names, in order of path. Empty objects are left out.

    Args:
        address: `SCHEME://BUCKET/PATH`, where the path is an object, a prefix or a glob.

    Raises:
        InputError: The address names no object, or the store cannot be read.
        UsageError: The address is not valid or contains credentials, or the object-store library is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if not match or match[1] not in SCHEMES:
        raise UsageError(
            f"{address} is not an object-store address.",
            f"Give SCHEME://BUCKET/PATH, where SCHEME is one of {', '.join(SCHEMES)}.",
        )
    refuse_credentials(address, match[2])
    store, path = f"{match[1]}://{match[2]}", match[3]
    prefix = _GLOB.split(path)[0].rpartition("/")[0] if _GLOB.search(path) else path.rstrip("/")
    found = [found for found in _list_objects(store, prefix, address) if _matches(found.path, path)]
    if not found:
        raise MissingInputError(f"{address} names no object.", "Check the name; end a prefix with /, and quote a glob.")
    return found


def refuse_credentials(address: str, bucket: str) -> None:
    """Refuses an address that contains credentials, which would appear in tables, reports and process lists.

    Raises:
        UsageError: The address contains credentials.
    """
    if "@" in bucket or ":" in bucket:
        raise UsageError(
            f"{address} contains credentials, which addresses must not contain.",
            "Set the credentials in the environment (AWS_*, GOOGLE_*, AZURE_*) and only the bucket in the address.",
        )


def open_object(store: str, path: str) -> Any:
    """Opens an object with a reader that fetches byte ranges.

    Raises:
        OSError: The object cannot be opened.
    """
    try:
        return import_obstore().open_reader(open_store(store), path, buffer_size=4 << 20)
    except import_obstore().exceptions.BaseError as error:
        raise OSError(error_reason(error)) from error


def version_of(item: StoredObject) -> tuple[str, ...]:
    """Returns which version of an object is stored now: what its store says of ETag, generation and last change.

    Raises:
        OSError: The object cannot be found.
    """
    try:
        meta = import_obstore().head(open_store(item.store), item.path)
    except import_obstore().exceptions.BaseError as error:
        raise OSError(error_reason(error)) from error
    return tuple(str(meta[name]) for name in ("e_tag", "version", "last_modified", "size"))


def _matches(path: str, named: str) -> bool:
    """Whether an object's path matches the path of an address: equal, under the prefix, or matching the glob."""
    if _GLOB.search(named):
        return fnmatch.fnmatchcase(path, named)
    return path == named or path.startswith(f"{named.rstrip('/')}/") or not named


def _list_objects(store: str, prefix: str, address: str) -> list[StoredObject]:
    """Lists the non-empty objects at and under a prefix, in order of path."""
    stores = import_obstore()
    try:
        alone = [_head(store, prefix)] if prefix else []
        metas = [meta for batch in stores.list(open_store(store), prefix or None) for meta in batch]
    except (stores.exceptions.BaseError, OSError) as error:
        raise InputError(
            f"{address} cannot be listed: {error_reason(error)}",
            "Check the bucket, the credentials and the endpoint in the environment (AWS_*, GOOGLE_*, AZURE_*).",
        ) from error
    listed = (StoredObject(store, meta["path"], meta["size"]) for meta in [*filter(None, alone), *metas])
    return sorted({item.path: item for item in listed if item.size}.values(), key=lambda item: item.path)


def _head(store: str, path: str) -> Any:
    """Returns the metadata of an object; None if there is no such object."""
    try:
        return import_obstore().head(open_store(store), path)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=8)
def open_store(address: str) -> Any:
    """Connects to the store at an address, as the environment configures it."""
    from obstore.store import from_url

    return from_url(address, retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)})


def import_obstore() -> Any:
    """Imports and returns `obstore`, the object-store library.

    Raises:
        UsageError: The library is not installed.
    """
    try:
        import obstore
        import obstore.exceptions
    except ImportError as error:
        raise UsageError(
            "Object stores need the library obstore, which is not installed.",
            "Run: pip install 'postback-etl[object-stores]'",
        ) from error
    return obstore


def error_reason(error: BaseException) -> str:
    """Returns a store error's code or first 200 characters, without the library's debug output."""
    text = str(error).partition("\n\nDebug source")[0]
    code = re.search(r"<Code>(\w+)</Code>", text)
    return code[1] if code else " ".join(text.split())[:200]
