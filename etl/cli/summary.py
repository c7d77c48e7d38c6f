"""Writes the summary of a run: as JSON for programs, as a few lines for people."""

from __future__ import annotations

import os
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from etl.cli import messages, terminal
from etl.errors import OutputError

#: So many sums of money are shown of each event.
_MOST_SUMS: Final = 3


def write_summary(
    summary: dict[str, Any],
    path: Path,
    option: str = "--summary",
    hint: str = "The tables are published nevertheless.",
) -> None:
    """Writes the summary as JSON, to a file by atomic replacement, or to standard output for `-`.

    Args:
        summary: The summary, or another report.
        path: The file.
        option: The option that names the file, for messages.
        hint: What has happened nevertheless if the file cannot be written.
    """
    text = orjson.dumps(summary, option=orjson.OPT_INDENT_2)
    if str(path) == "-":
        try:
            terminal.write_document(text.decode())
        except OSError as error:
            raise OutputError(f"{option} - cannot be written: {error.strerror}.", hint) from error
        except OutputError as error:
            raise OutputError(error.problem, hint) from error
        return
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_bytes(text + b"\n")
        staged.replace(path)
    except OSError as error:
        raise OutputError(f"{option} {str(path)!r} cannot be written: {error.strerror}.", hint) from error


def say_summary(summary: dict[str, Any], out: str, *, is_quiet: bool) -> None:
    """Reports inputs, counts, and bodies that were not logged, on standard error."""
    for item in summary["inputs"]:
        messages.say("input", **item)
    counts = {name: value for name, value in summary.items() if name not in ("inputs", "unrecognised_parameters")}
    messages.say("done", *([] if is_quiet else _shown(summary, out)), **counts)
    unlogged = sum(item["bodies_not_logged"] for item in summary["inputs"])
    if unlogged and (messages.MODE.is_json or not is_quiet):
        judged = summary["records"] - summary["skipped"]["total"]
        messages.warn(
            f"{unlogged:,} POST requests, {unlogged / judged:.1%} of the postbacks, were logged without a body."
        )


def _shown(summary: dict[str, Any], out: str) -> list[str]:
    """Formats a summary as lines of text; of the inputs, only the first 20."""
    return [
        "{:,} records = {:,} conversions + {:,} rejections + {:,} skipped".format(
            *(summary["records"], summary["conversions"]),
            *(summary["rejections"]["total"], summary["skipped"]["total"]),
        ),
        f"  items {summary['items']:,}, passthroughs {summary['passthroughs']:,}",
        *_period(summary["first_received_at"], summary["last_received_at"]),
        *_values(summary["value_by_event"]),
        *_counts("rejections", summary["rejections"]["by_reason"]),
        *_counts("skipped", summary["skipped"]["by_reason"]),
        *_counts("issues", summary["issues"]),
        *(line for item in summary["inputs"][:20] for line in _input(item)),
        *([f"  and {len(summary['inputs']) - 20} more inputs"] if len(summary["inputs"]) > 20 else []),
        *(f"  not read: {one['path']}: {one['why']}" for one in summary["passed_over"][:20]),
        f"  {out}: {summary['seconds']:.1f} s, {summary['peak_memory_bytes'] / 2**20:,.0f} MiB",
        f"  next: postback-etl audit {shlex.quote(out)}",
    ]


def _period(first: str | None, last: str | None) -> list[str]:
    """Formats the period of the times of receipt, if there are any."""
    if first is None or last is None:
        return []
    return [f"  received {first[:19].replace('T', ' ')} to {last[:19].replace('T', ' ')} UTC"]


def _input(item: dict[str, Any]) -> list[str]:
    """Describes an input: its format, its columns if they were guessed or given, and the time zone that was assumed."""
    known = f" (the same bytes as {item['same_as']})" if "same_as" in item else ""
    form = f"carried by {item['carrier']}, format {item['format']}" if item["carrier"] else item["format"]
    piped = f", {item['bytes']:,} bytes through a pipe" if item.get("is_spooled") else ""
    lines = [f"  {item['path']}: {form}, {item['records']:,} records{piped}{known}"]
    if "columns" in item:
        lines.append("    columns: " + ", ".join(f"{role}={name}" for role, name in item["columns"].items()))
    if "found" in item:
        lines.append("    found: " + ", ".join(f"{part} {place}" for part, place in item["found"].items()))
    if item["time"] == "none":
        lines.append("    no times: received_at is null unless a record has a time")
    elif item["time"] != "zoned":
        lines.append(f"    times read as {item['time']}")
    return lines


def _values(by_event: dict[str, dict[str, str]]) -> list[str]:
    """Formats the money of each event on a line: the three largest sums, whatever their currency."""
    lines = []
    for event, sums in by_event.items():
        largest = sorted(sums.items(), key=lambda pair: -abs(Decimal(pair[1])))
        shown = ", ".join(f"{currency or 'no currency'} {value}" for currency, value in largest[:_MOST_SUMS])
        rest = f" and {len(sums) - _MOST_SUMS} more" if len(sums) > _MOST_SUMS else ""
        lines.append(f"  {event}: {shown}{rest}")
    return lines


def _counts(title: str, counts: dict[str, int]) -> list[str]:
    """Formats counts as `title: a 1, b 2`, folded at 80 columns."""
    lines, line = [], f"  {title}:"
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        word = f" {name} {count:,},"
        if len(line) + len(word) > 79:
            lines.append(line)
            line = "   "
        line += word
    return [*lines, line.rstrip(",")] if counts else []
