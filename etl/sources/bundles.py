"""Bundles splits for engines whose tasks cost time themselves, such as those of a cluster.

A bundle is read split by split, so its tables are those of its splits read alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar

from etl.errors import OutputError
from etl.sources.planning import compressed_parts
from etl.sources.splits import Split, open_split
from etl.sources.storage.locations import identity_of
from etl.sources.storage.surveys import BLOCK_BYTES, is_packed
from etl.sources.storage.unnamed_files import UnnamedFiles, path_of

Item = TypeVar("Item")

#: Opening an input, in an object store above all, takes about the time in which so many bytes are transformed.
_OPENING_BYTES: Final = 2**20


def bundled(items: Sequence[Item], splits_of: Callable[[Item], tuple[Split, ...]], most_bytes: int) -> list[list[Item]]:
    """Bundles neighbours. The splits of a compressed input are never bundled with others, and at most in a few bundles.

    Args:
        items: What has splits, such as tasks.
        splits_of: Returns the splits of an item.
        most_bytes: Most bytes of a bundle of several items; 0: each item is its own bundle.
    """
    if not most_bytes:
        return [[item] for item in items]
    cut = {split.source_digest for item in items for split in splits_of(item) if split.start}

    def compressed_of(item: Item) -> str:
        first = splits_of(item)[0]
        return first.source_digest if first.source_digest in cut and is_packed(first.codec, first.path) else ""

    few = compressed_parts(len({split.source_digest for item in items for split in splits_of(item)}))
    bundles: list[list[Item]] = []
    for compressed, neighbours in groupby(items, compressed_of):
        some = list(neighbours)
        costs = [sum(split.end - split.start + _OPENING_BYTES for split in splits_of(item)) for item in some]
        most, room = max(most_bytes, -(-sum(costs) // few)) if compressed else most_bytes, -1
        for item, cost in zip(some, costs, strict=True):
            if cost > room:
                bundles.append([])
                room = most
            bundles[-1].append(item)
            room -= cost
    return bundles


@contextmanager
def decompressed_once(groups: list[tuple[Split, ...]]) -> Iterator[list[tuple[Split, ...]]]:
    """Yields the splits; where there are several of a compressed input, they read a copy of its decompressed bytes.

    The copies lie in files without a name, where this machine keeps temporary files.

    Raises:
        InputError: An input cannot be read to its end.
        OutputError: A copy cannot be written.
    """
    copies: dict[str, Path] = {}
    seen = set[str]()
    with UnnamedFiles() as files:
        for split in (split for splits in groups for split in splits):
            digest = split.source_digest
            if digest in seen and digest not in copies and is_packed(split.codec, split.path):
                copies[digest] = _copy(split, files)
            seen.add(digest)
        yield [tuple(_reading(split, copies.get(split.source_digest)) for split in splits) for splits in groups]


def _copy(split: Split, files: UnnamedFiles) -> Path:
    """Copies the decompressed bytes of the input of a split."""
    try:
        file = files.make()
        with open_split(split) as (stream, _):
            shutil.copyfileobj(stream, file, BLOCK_BYTES)
        file.flush()
    except OSError as error:
        raise OutputError(
            f"The decompressed bytes of {split.source} cannot be kept: {error}",
            "Free some space where the workers keep temporary files.",
        ) from error
    return path_of(file)


def _reading(split: Split, copy: Path | None) -> Split:
    """Returns a split that reads the copy of its input, if there is one."""
    if copy is None:
        return split
    checked = split.checked and split.checked._replace(identity=identity_of(copy))
    return split._replace(path=copy, codec="plain", checked=checked)
