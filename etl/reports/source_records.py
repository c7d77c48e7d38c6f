"""Reads records again from the input that they came from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from etl.errors import ChangedInputError, InputError
from etl.sources.detection import Detected
from etl.sources.formats.registry import BY_NAME
from etl.sources.planning import SPLIT_BYTES, ReadOptions, find_format, plan_splits
from etl.sources.splits import read_split
from etl.sources.storage.inputs import Input, found_inputs
from etl.sources.storage.object_stores import SCHEMES
from etl.sources.storage.surveys import survey
from etl.warehouse.stores import existing_file


class SourceRecords(NamedTuple):
    """The records of an input from some record on.

    Attributes:
        detected: The format of the input.
        codec: How it is compressed.
        batches: Frames of `schema.REQUESTS`.
    """

    detected: Detected
    codec: str
    batches: Iterator[pl.DataFrame]


@contextmanager
def source_input(place: str) -> Iterator[Input]:
    """Finds an input by its name in the tables, such as a member of an archive.

    Raises:
        InputError: It does not exist.
    """
    root = place if place.partition("://")[0] in SCHEMES else str(existing_file(place) or place)
    with found_inputs([root], Path(os.devnull)) as (inputs, _):
        item = next((item for item in inputs if item.source == place), None)
        if item is None:
            raise InputError(
                f"{root} holds no {place.removeprefix(root + '/')}.",
                f"Name one of its files, such as {inputs[0].source}.",
            )
        yield item


def open_records(item: Input, first: int, reading: ReadOptions, digest: str | None = None) -> SourceRecords:
    """Opens an input at the split that holds a record.

    Args:
        item: The input.
        first: The record's number from 1.
        reading: How the input is read.
        digest: The digest that the input must have; None: any.

    Raises:
        ChangedInputError: The input has another digest.
        InputError: The input cannot be read.
    """
    surveyed = survey(item.path, item.source, SPLIT_BYTES)
    if digest not in (None, surveyed.digest):
        raise ChangedInputError(
            f"{item.source} has changed since the row was written.", "Name the tables of a new run."
        )
    detected = find_format(item, surveyed.codec, surveyed.samples, reading)
    splits = list(plan_splits(item, surveyed, detected, reading))
    start = max(place for place, split in enumerate(splits) if split.first_record <= max(first, 1))
    batches = (requests for split in splits[start:] for requests, _ in read_split(split))
    return SourceRecords(detected, surveyed.codec, batches)


def reading_of(written: dict[str, Any], reading: ReadOptions) -> ReadOptions:
    """Returns how an input is read: in its format of that time, if the user names none.

    Args:
        written: What a manifest says of the input; empty if it says nothing.
        reading: The user's options.
    """
    if reading.format == "auto" and reading.log_format is None and written.get("format") in BY_NAME:
        return reading._replace(format=written["format"])
    return reading
