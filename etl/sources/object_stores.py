"""Objects in stores: `s3://`, `gs://` and `az://`, by `obstore`, configured as that reads the environment."""

from __future__ import annotations

import fnmatch
import re
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from etl.errors import InputError, UsageError
from etl.sources.locations import StoredObject

SCHEMES: Final = ("s3", "gs", "az")

_ADDRESS: Final = re.compile(r"([a-z][a-z0-9]*)://([^/]+)/?(.*)", re.DOTALL)
_GLOB: Final = re.compile(r"[*?\[]")


def find_objects(address: str) -> list[StoredObject]:
    """The objects that an address names, in order of their paths: one, those under a prefix, those that match a glob.

    Raises:
        InputError: There are none, or the store cannot be read.
        UsageError: The address is of another kind, or the library for stores is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if not match or match[1] not in SCHEMES:
        raise UsageError(
            f"{address} is no address of an object store.", f"Give one of {', '.join(SCHEMES)}://BUCKET/PATH."
        )
    refuse_credentials(address, match[2])
    store, path = f"{match[1]}://{match[2]}", match[3]
    prefix = _GLOB.split(path)[0].rpartition("/")[0] if _GLOB.search(path) else path.rstrip("/")
    found = [found for found in _listed(store, prefix, address) if _is_named(found.path, path)]
    if not found:
        raise InputError(f"{address} names no object.", "Check the name; a prefix ends with /, a glob is quoted.")
    return found


def refuse_credentials(address: str, bucket: str) -> None:
    """Refuses an address that holds credentials: it would stand in tables, reports and lists of processes.

    Raises:
        UsageError: It does.
    """
    if "@" in bucket or ":" in bucket:
        raise UsageError(
            f"{address} holds credentials, which no address may.",
            "Give them in the environment (AWS_*, GOOGLE_*, AZURE_*), and the bucket alone in the address.",
        )


def open_object(store: str, path: str) -> Any:
    """A reader of an object, by ranges.

    Raises:
        OSError: It cannot be read.
    """
    try:
        return library().open_reader(opened_store(store), path, buffer_size=4 << 20)
    except library().exceptions.BaseError as error:
        raise OSError(reason_of(error)) from error


def _is_named(path: str, named: str) -> bool:
    if _GLOB.search(named):
        return fnmatch.fnmatchcase(path, named)
    return path == named or path.startswith(f"{named.rstrip('/')}/") or not named


def _listed(store: str, prefix: str, address: str) -> list[StoredObject]:
    stores = library()
    try:
        alone = [_head(store, prefix)] if prefix else []
        metas = [meta for batch in stores.list(opened_store(store), prefix or None) for meta in batch]
    except (stores.exceptions.BaseError, OSError) as error:
        raise InputError(
            f"{address} cannot be listed: {reason_of(error)}",
            "Check the bucket, the credentials and the endpoint in the environment (AWS_*, GOOGLE_*, AZURE_*).",
        ) from error
    listed = (StoredObject(store, meta["path"], meta["size"]) for meta in [*filter(None, alone), *metas])
    return sorted({one.path: one for one in listed if one.size}.values(), key=lambda one: one.path)


def _head(store: str, path: str) -> Any:
    try:
        return library().head(opened_store(store), path)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=8)
def opened_store(address: str) -> Any:
    """The store at an address, as the environment configures it."""
    from obstore.store import from_url

    return from_url(address, retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)})


def library() -> Any:
    """`obstore`.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import obstore
        import obstore.exceptions
    except ImportError as error:
        raise UsageError(
            "Object stores need a library that is not installed.", "Run: pip install 'postback-etl[object-stores]'"
        ) from error
    return obstore


def reason_of(error: BaseException) -> str:
    """What went wrong, without where in the library."""
    text = str(error).partition("\n\nDebug source")[0]
    code = re.search(r"<Code>(\w+)</Code>", text)
    return code[1] if code else " ".join(text.split())[:200]
