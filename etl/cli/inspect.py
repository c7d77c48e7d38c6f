"""The command `inspect`: shows what inputs hold, before a long run."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from etl.cli import messages, options
from etl.errors import plural

if TYPE_CHECKING:
    from etl.reports.inspect import Failure, Inspection
    from etl.reports.record_counts import Gap

#: How many gaps and integrations are shown; JSON has all of them.
_SHOWN: Final = 5


@options.with_options(*options.READING, "ruleset", "unknown")
def inspect(
    inputs: options.Inputs,
    full: Annotated[bool, typer.Option("--full", help="Read all of each input, not only a sample.")] = False,
    *,
    typed: options.Typed,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Show each input's format, size, time range, gaps and postbacks. Writes nothing."""
    from etl.cli import terminal
    from etl.errors import UnknownInputError
    from etl.reports.inspect import Failure, inspect_inputs
    from etl.runner.stage_inputs import SILENT
    from etl.runner.unknown_inputs import UnknownInput, describe_unknown, refuse_unknown
    from etl.warehouse.stores import expand_stores

    request = typed.request(expand_stores(inputs), Path())
    messages.warn_if_slow()
    failures, unknown, read = [], [], []
    shown = []
    for found in inspect_inputs(request, SILENT._replace(warn=messages.warn), is_full=full):
        if not isinstance(found, Failure):
            read.append(found.input)
        elif isinstance(found.error, UnknownInputError):
            unknown.append(UnknownInput(found.input, found.error))
        else:
            failures.append(found)
        if as_json:
            shown.append(found.as_data())
        elif not isinstance(found, Failure) or not isinstance(found.error, UnknownInputError):
            _print(found)
    if as_json:
        terminal.write_json(shown)
    if failures:
        raise failures[0].error
    refuse_unknown(unknown, read, request.unknown)
    if unknown:
        messages.warn(describe_unknown(unknown))


def _print(found: Inspection | Failure) -> None:
    from etl.cli import terminal
    from etl.reports.inspect import Failure

    facts = [("problem", found.error.problem), ("", found.error.hint)] if isinstance(found, Failure) else _facts(found)
    terminal.print_facts(found.path, facts, _STYLES, 12)


_STYLES: Final = {"advice": "bold yellow", "warning": "bold yellow", "problem": "bold red"}


def _facts(found: Inspection) -> list[tuple[str, str]]:
    """Lists the facts about an input: (name, text)."""
    counts, row, survey = found.counts, found.detected.row, found.survey
    matched = f"{counts.matched:.1%} of the records read" if counts.matched is not None else "no records to check"
    about = "" if found.is_whole else "about "
    facts = [("format", f"{row.name}, {matched}: {row.what}")]
    if found.detected.carriers:
        facts.insert(0, ("carrier", ", ".join(found.detected.carriers)))
    if found.detected.columns:
        facts.append(("columns", ", ".join(f"{role}={name}" for role, name in found.detected.columns)))
    facts += [
        ("compression", "none" if survey.codec == "plain" else survey.codec),
        ("size", _size(survey.stored_bytes) + _decompressed(found, about)),
        ("records", f"{about}{found.records:,}; {'all' if found.is_whole else f'{counts.records:,}'} read"),
        ("time", _times(found)),
        ("gaps", _gaps(counts.gaps(), found.is_whole)),
        ("postbacks", _postbacks(found)),
    ]
    if counts.postbacks:
        owners = Counter({f"{account or '-'} / {slug or '-'}": n for (account, slug), n in counts.integrations.items()})
        facts += [
            ("methods", _list_counts(counts.methods)),
            ("statuses", _list_counts(counts.statuses)),
            ("integrations", _list_counts(owners, _SHOWN)),
        ]
    if found.looks_like:
        looks_like, count = found.looks_like
        facts.append(("advice", looks_like.advise(count)))
    if counts.without_body:
        share = f"{counts.without_body / counts.postbacks:.1%}"
        what = f"{plural(counts.without_body, 'POST request')}, {share} of the postbacks"
        were = "was" if counts.without_body == 1 else "were"
        facts.append(("warning", f"{what}, {were} logged without a body"))
    return [*facts, *(("warning", warning) for warning in found.warnings)]


def _decompressed(found: Inspection, about: str) -> str:
    return "" if found.survey.codec == "plain" else f", {about}{_size(found.survey.plain_bytes)} decompressed"


def _size(count: int) -> str:
    """Formats a number of bytes with a binary unit."""
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:.1f} {' KMGT'[power]}iB"


def _times(found: Inspection) -> str:
    """Describes the time range of an input and its time zone."""
    counts = found.counts
    if counts.first is None or counts.last is None:
        return "none in the records read"
    zone = {"zoned": "the records have a time zone", "none": "from some of the records"}
    span = f"{_moment(counts.first)} to {_moment(counts.last)} UTC; {zone.get(found.time, f'read as {found.time}')}"
    return span if found.is_whole else f"{span}; in the records read"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _gaps(gaps: list[Gap], is_whole: bool) -> str:
    """Lists the longest gaps, in order of time."""
    if not gaps:
        return "none" if is_whole else "none in the records read"
    longest = sorted(sorted(gaps, key=lambda gap: gap.start - gap.end)[:_SHOWN])
    texts = [
        f"{gap.start:%Y-%m-%d %H:%M} to {gap.end:%Y-%m-%d %H:%M} ({(gap.end - gap.start) / timedelta(hours=1):.1f} h)"
        for gap in longest
    ]
    return ", ".join(texts) + (f" and {len(gaps) - _SHOWN} shorter gaps" if len(gaps) > _SHOWN else "")


def _postbacks(found: Inspection) -> str:
    """Describes the share of postbacks among the records, and the other records by reason."""
    counts = found.counts
    if not counts.records:
        return "none"
    share = f"{counts.postbacks / counts.records:.1%}: {counts.postbacks:,} of {counts.records:,}"
    other = counts.skipped + Counter(malformed_record=counts.malformed)
    return share + (f"; other records: {_list_counts(other)}" if other else "")


def _list_counts(counts: Counter[str], most: int | None = None) -> str:
    """Lists names with their counts, most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    texts = ", ".join(f"{name} {count:,}" for name, count in ranked[:most])
    rest = len(ranked[most:]) if most else 0
    return texts + (f" and {rest} more" if rest else "") if texts else "none"
