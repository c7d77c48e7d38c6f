"""Reads what callers of the Python API give: paths and days as texts, rulesets by their names, options by keywords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, overload

from etl.engines.local_pool import workers
from etl.errors import UsageError, choices
from etl.options import RunOptions
from etl.rules.ruleset import Ruleset
from etl.rules.vendors import find_ruleset
from etl.runner.partitions import check_partition_by
from etl.runner.stage_inputs import RunRequest, run_request
from etl.sources.storage.store_paths import folder_of

Inputs = str | Path | Sequence[str | Path]
Day = str | date


def make_request(inputs: Inputs, options: Mapping[str, Any], known: Sequence[str], out: str | Path = "") -> RunRequest:
    """Returns the request of a run in processes of this machine; an option that is None has its default.

    Raises:
        TypeError: There is no such option.
        EtlError: An option has a value that it cannot have.
    """
    check_names(options, known)
    given = {name: value for name, value in options.items() if value is not None}
    if "ruleset" in given:
        given["ruleset"] = ruleset_of(given["ruleset"])
    if "formats" in given:
        given["formats"] = str(given["formats"])
    return run_request(texts_of(inputs), folder_of(out), RunOptions(**given), workers)


def laid_out(request: RunRequest, partition_by: str = "none", records_per_file: int | None = None) -> RunRequest:
    """Returns a request whose files are laid out so.

    Raises:
        UsageError: There are no such partitions, or a file would have no records.
    """
    if records_per_file is not None and records_per_file < 1:
        raise UsageError(
            f"records_per_file {records_per_file!r} is no number of records.", "Give 400_000, for example."
        )
    return replace(request, partition_by=check_partition_by(partition_by), records_per_file=records_per_file)


def check_names(options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises a TypeError that names the option which was probably meant, if there is none of a name."""
    for name in options:
        if name not in known:
            raise TypeError(f"There is no option {name!r}. {choices(name, known, 'The options')}")


def names_of(options: type) -> tuple[str, ...]:
    """Returns the names of the options that a class holds."""
    return tuple(one.name for one in fields(options))


def given_options(arguments: dict[str, Any], *others: str) -> dict[str, Any]:
    """Returns the options among the arguments of a function that takes more of them as `options`."""
    more: dict[str, Any] = arguments.pop("options")
    return {name: value for name, value in arguments.items() if name not in others} | more


def texts_of(inputs: Inputs) -> list[str]:
    """Returns one input or several as a list of texts."""
    return [str(inputs)] if isinstance(inputs, str | Path) else [str(item) for item in inputs]


def ruleset_of(given: str | Ruleset) -> Ruleset:
    """Returns a ruleset, or the ruleset of a name or file."""
    return given if isinstance(given, Ruleset) else find_ruleset(given)


@overload
def day_of(name: str, given: Day) -> date: ...
@overload
def day_of(name: str, given: Day | None) -> date | None: ...
def day_of(name: str, given: Day | None) -> date | None:
    """Returns a day that is given as a date, a time or a text.

    Raises:
        UsageError: The text is not a day.
    """
    if isinstance(given, str):
        try:
            return date.fromisoformat(given)
        except ValueError as error:
            raise UsageError(f"{name} {given!r} is not a day.", "Give one such as 2024-05-01.") from error
    return given.date() if isinstance(given, datetime) else given
