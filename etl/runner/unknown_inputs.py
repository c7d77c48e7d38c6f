"""Decides what becomes of inputs in no known format: they are left out with one warning, or the run fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from etl.errors import UnknownInputError
from etl.options import Unknown
from etl.sources.storage.inputs import Input

#: How many inputs a message names.
_SHOWN: Final = 10


class UnknownInput(NamedTuple):
    """An input in no known format, and the error that says so."""

    input: Input
    error: UnknownInputError


def refuse_unknown(unknown: Sequence[UnknownInput], read: Sequence[Input], mode: Unknown | None) -> None:
    """Checks that inputs in no known format may be left out.

    Without a mode, those may that were found in a folder, an archive or by a pattern. So may those that were named, if
    most named inputs are read: a shell's pattern names each file that it finds.

    Args:
        unknown: The inputs in no known format.
        read: The inputs in a known format.
        mode: `skip`: all may be left out; `fail`: none may.

    Raises:
        UnknownInputError: An input may not be left out, or no input is left.
    """
    named = sum(not item.is_found for item in read)
    is_most_read = named * 2 > named + sum(not one.input.is_found for one in unknown)
    if mode == "skip" or (mode is None and is_most_read):
        refused: list[UnknownInput] = []
    else:
        refused = [one for one in unknown if mode == "fail" or not one.input.is_found]
    if not refused and not read:
        refused = list(unknown)
    if len(refused) == 1:
        raise refused[0].error
    if refused:
        raise UnknownInputError(
            f"{len(refused):,} inputs are in no known format: {_names(refused)}.",
            "Name their format by --format or --log-format, or leave them out by --unknown skip.",
        )


def describe_unknown(unknown: Sequence[UnknownInput]) -> str:
    """Returns the warning that inputs are left out."""
    what, are = ("1 input", "is") if len(unknown) == 1 else (f"{len(unknown):,} inputs", "are")
    return f"{what} in no known format {are} left out: {_names(unknown)}. --unknown fail makes this an error."


def _names(unknown: Sequence[UnknownInput]) -> str:
    """Lists the first inputs, and says how many more there are."""
    names = ", ".join(one.input.source for one in unknown[:_SHOWN])
    return names + (f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else "")
