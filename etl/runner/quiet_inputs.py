"""Finds what a command should warn of in its inputs (rules 1.3d).

No postback at all, one reason for all rejections, no time, or no known format: such inputs bring nothing, without being
wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import polars as pl

from etl.errors import plural
from etl.rules.vendors.recognition import recognise_input
from etl.runner.counts import Tally
from etl.runner.stage_inputs import PlannedInput, Plans, Progress, RunRequest
from etl.runner.tasks import Task, TaskReport
from etl.runner.unknown_inputs import describe_unknown
from etl.sources.planning import plan_splits
from etl.sources.splits import read_split
from etl.sources.storage.folders import PassedOver

#: How much of an input is read again for its commonest paths, and how many are shown.
_HEAD_BYTES: Final = 4 * 2**20
_SHOWN: Final = 3


class InputWarning(NamedTuple):
    """What a person should know of an input: what the input has, in few words, and all of it as a sentence."""

    has: str
    sentence: str


class Ends(NamedTuple):
    """How the postbacks of an input ended.

    Attributes:
        conversions: Number of conversions.
        rejections: Number of rejections by reason.
        timed: Number of postbacks with a time of receipt.
        unread: Number of postbacks by the name of a parameter that no rule reads.
    """

    conversions: int
    rejections: dict[str, int]
    timed: int
    unread: Mapping[str, int] = MappingProxyType({})


def warn_of_inputs(
    plans: Plans, tally: Tally, unread: Mapping[str, Mapping[str, int]], request: RunRequest, progress: Progress
) -> None:
    """Warns of the inputs that were read, by what their rows count, and of inputs that were left out.

    What is true of many inputs is said of the first few, and how many more there are.

    Args:
        plans: The inputs.
        tally: Counts of the written rows.
        unread: For each input, the output of `unread_names`.
        request: The rules and how inputs are read.
        progress: Receives the warnings.
    """
    reasons_of: dict[str, dict[str, int]] = {}
    for (source, reason), count in tally.ends.items():
        if reason:
            reasons_of.setdefault(source, {})[reason] = count
    said = Counter[str]()
    for plan in plans.planned:
        source = plan.input.source
        reasons = reasons_of.get(source, {})
        ends = Ends(tally.ends[source, ""], reasons, tally.timed[source], unread.get(source, {}))
        if not plan.same_as:
            for warning in find_warnings(plan, ends, request):
                said[warning.has] += 1
                if said[warning.has] <= _SHOWN:
                    progress.warn(warning.sentence)
    for has, count in said.items():
        if count > _SHOWN:
            progress.warn(f"{plural(count - _SHOWN, 'more input has', 'more inputs have')} {has}.")
    warn_of_unknown(plans, progress)


def unread_names(tasks: list[Task], reports: list[TaskReport]) -> dict[str, Counter[str]]:
    """Returns, for each input, the parameters that no rule reads and how many postbacks have them."""
    unread: dict[str, Counter[str]] = {}
    for task, report in zip(tasks, reports, strict=True):
        for split in task.splits:
            unread.setdefault(split.source, Counter()).update(report.counts[split.source_digest].unrecognised)
    return unread


def warn_of_unknown(plans: Plans, progress: Progress) -> None:
    """Warns of the inputs that were left out, together."""
    if plans.unknown:
        progress.warn(describe_unknown(plans.unknown))


def warn_of_passed_over(passed_over: list[PassedOver], progress: Progress) -> None:
    """Warns of what was found beside the inputs and is not read, together."""
    if passed_over:
        shown = "; ".join(f"{path} ({why})" for path, why in passed_over[:_SHOWN])
        more = f"; and {len(passed_over) - _SHOWN:,} more" if len(passed_over) > _SHOWN else ""
        progress.warn(f"what was found here is not read: {shown}{more}.")


def find_warnings(plan: PlannedInput, ends: Ends, request: RunRequest) -> Iterator[InputWarning]:
    """Yields what a person should know of an input."""
    if not plan.survey.plain_bytes:
        return
    source = plan.input.source
    judged = {reason: count for reason, count in ends.rejections.items() if reason != "malformed_record"}
    postbacks = ends.conversions + sum(judged.values())
    if not postbacks:
        paths = _commonest_paths(plan, request)
        common = f" The commonest paths with a query are {', '.join(paths)}." if paths else ""
        yield InputWarning(
            "no postback",
            f"{source} holds no postback: no request to {request.ruleset.collect_path}.{common} Name another path by"
            f" --collect-path {paths[0] if paths else 'PATH'}; it may leave out {{account}} and {{integration}}.",
        )
        return
    if not ends.conversions and len(judged) == 1 and postbacks > 1:
        reason = f"rejected for one reason, {next(iter(judged))}"
        yield InputWarning(f"all postbacks {reason}", f"{source}: all {postbacks:,} postbacks are {reason}.")
    found = recognise_input(ends.unread, request.ruleset)
    if found:
        looks_like, count = found
        yield InputWarning(f"what {looks_like.advice}", f"{source}: {looks_like.advise(count)}.")
    if not ends.timed:
        yield InputWarning(
            "no postback with a time",
            f"{source}: no postback has a time, so received_at is null; name it by --columns received_at=NAME.",
        )


def _commonest_paths(plan: PlannedInput, request: RunRequest) -> list[str]:
    """Returns the commonest paths of requests with a query in the beginning of an input; no path with an address."""
    split = next(plan_splits(plan.input, plan.survey, plan.detected, request.reading), None)
    found: Counter[str] = Counter()
    read = 0
    for requests, _ in read_split(split) if split else ():
        has_query = (pl.col("query").fill_null("") != "") & pl.col("path").is_not_null()
        paths = requests.filter(has_query & ~pl.col("path").str.contains("@|%40"))["path"]
        found.update(dict(paths.value_counts().iter_rows()))
        read += int(requests["raw"].str.len_bytes().sum())
        if read > _HEAD_BYTES:
            break
    return [path for path, _ in sorted(found.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]]
