"""Writes the summary of a run: as JSON for programs, as a few lines for people."""

from __future__ import annotations

import os
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from etl.cli import messages, terminal
from etl.errors import EtlError, OutputError, plural

#: So many currencies and inputs are shown.
_MOST_CURRENCIES: Final = 8
_MOST_INPUTS: Final = 20

#: By these rejections nothing is lost: their conversions were kept.
_HARMLESS: Final = "duplicate_transaction"


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
        staged.unlink(missing_ok=True)
        raise OutputError(f"{option} {str(path)!r} cannot be written: {error.strerror}.", hint) from error


def say_summary(summary: dict[str, Any], out: str, default_currency: str | None, *, is_quiet: bool) -> None:
    """Reports inputs, counts, and bodies that were not logged, on standard error."""
    for item in summary["inputs"]:
        messages.say("input", **item)
    counts = {name: value for name, value in summary.items() if name not in ("inputs", "unrecognised_parameters")}
    is_for_people = not is_quiet and not messages.MODE.is_json
    messages.say("done", *(_shown(summary, out, default_currency) if is_for_people else []), **counts)
    unlogged = sum(item["bodies_not_logged"] for item in summary["inputs"])
    if unlogged and (messages.MODE.is_json or not is_quiet):
        judged = summary["records"] - summary["skipped"]["total"]
        messages.warn(
            f"{plural(unlogged, 'POST request')}, {unlogged / judged:.1%} of the postbacks, "
            f"{'was' if unlogged == 1 else 'were'} logged without a body."
        )


def say_plan(plan: dict[str, Any]) -> None:
    """Writes what a run would do with each input to standard output, a line each, and the plan as an event."""
    for item in plan["inputs"]:
        form = f"carried by {item['carrier']}, format {item['format']}" if item["carrier"] else item["format"]
        count = "" if item["records_surveyed"] is None else f", {plural(item['records_surveyed'], 'record')}"
        same = f" (the same bytes as {item['same_as']})" if "same_as" in item else ""
        terminal.write_line(f"read   {item['path']}: {form}{count}, {plural(item['bytes'], 'byte')}{same}")
    for path in plan["left_out"]:
        terminal.write_line(f"skip   {path}: it is in no known format")
    for need in plan["disk"]:
        terminal.write_line(f"needs {need['needs']}")
    messages.say("done", **plan)


def _shown(summary: dict[str, Any], out: str, default_currency: str | None) -> list[str]:
    """Formats a summary as lines of text; of the inputs, only the first 20."""
    rejected = _rejections(summary["rejections"]["by_reason"], out)
    many = len(summary["inputs"]) - _MOST_INPUTS
    return [
        balance(
            summary["records"], summary["conversions"], summary["rejections"]["total"], summary["skipped"]["total"]
        ),
        f"  items {summary['items']:,}, passthroughs {summary['passthroughs']:,}",
        *_period(summary["first_received_at"], summary["last_received_at"]),
        *_money(summary["value_by_event"], default_currency),
        *(line for line, _ in rejected),
        *_counts("skipped", summary["skipped"]["by_reason"]),
        *_counts("issues", summary["issues"]),
        *(line for item in summary["inputs"][:_MOST_INPUTS] for line in _input(item)),
        *([f"  and {plural(many, 'more input')}"] if many > 0 else []),
        *(f"  not read: {one['path']}: {one['why']}" for one in summary["passed_over"][:_MOST_INPUTS]),
        f"  {out}: {summary['seconds']:.1f} s, {summary['peak_memory_bytes'] / 2**20:,.0f} MiB",
        f"  next: postback-etl audit {shlex.quote(out)}",
        *(f"        {command}" for _, command in rejected[:1]),
    ]


def balance(records: int, conversions: int, rejections: int, skipped: int) -> str:
    """Formats the accounting of a run or a load."""
    parts = f"{plural(conversions, 'conversion')} + {plural(rejections, 'rejection')} + {skipped:,} skipped"
    return f"{plural(records, 'record')} = {parts}"


def _rejections(by_reason: dict[str, int], out: str) -> list[tuple[str, str]]:
    """Lists the reasons of rejections, with what would cure them; for each, the command that explains one of them.

    What would cure most of the rejections with a reason comes first: the commonest suggestion, else the reason's cure.
    Reasons that need a cure come before those of rejections by which nothing is lost.
    """
    import polars as pl

    from etl.rules.page import REJECTIONS
    from etl.runner.published_tables import read
    from etl.warehouse.stores import open_store

    if not by_reason:
        return []
    try:
        rows = open_store(out).rejections.select("reason", "suggestion", "rejection_id")
        counted = read(rows.group_by("reason", "suggestion").agg(pl.len().alias("count"), pl.col("rejection_id").min()))
    except EtlError:  # another run has replaced the folder meanwhile
        return []
    cures = {reason.code: reason.cure for reason in REJECTIONS}
    lines = []
    for reason, count in sorted(by_reason.items(), key=lambda item: (item[0] == _HARMLESS, -item[1], item[0])):
        known = counted.filter(pl.col("reason") == reason).sort("count", "suggestion", descending=[True, False])
        suggested = known.drop_nulls("suggestion").row(0, named=True) if known["suggestion"].count() else None
        cure = cures[reason]
        if suggested and suggested["suggestion"] not in cure:
            cure = f"{cure} ({suggested['count']:,}: {suggested['suggestion']})"
        example = (suggested or known.row(0, named=True))["rejection_id"]
        lines.append((f"  {count:,} {reason}: {cure}", f"postback-etl explain {shlex.quote(out)}:{example}"))
    return lines


def _period(first: str | None, last: str | None) -> list[str]:
    """Formats the period of the times of receipt, if there are any."""
    if first is None or last is None:
        return []
    return [f"  received {first[:19].replace('T', ' ')} to {last[:19].replace('T', ' ')} UTC"]


def _input(item: dict[str, Any]) -> list[str]:
    """Describes an input: its format, its columns if they were guessed or given, and the time zone that was assumed."""
    known = f" (the same bytes as {item['same_as']})" if "same_as" in item else ""
    form = f"carried by {item['carrier']}, format {item['format']}" if item["carrier"] else item["format"]
    piped = f", {plural(item['bytes'], 'byte')} through a pipe" if item.get("is_spooled") else ""
    lines = [f"  {item['path']}: {form}, {plural(item['records'], 'record')}{piped}{known}"]
    if "columns" in item:
        lines.append("    columns: " + ", ".join(f"{role}={name}" for role, name in item["columns"].items()))
    if "found" in item:
        lines.append("    found: " + ", ".join(f"{part} {place}" for part, place in item["found"].items()))
    if item["time"] == "none":
        lines.append("    no times: received_at is null unless a record has a time")
    elif item["time"] != "zoned":
        lines.append(f"    times read as {item['time']}")
    return lines


def _money(by_event: dict[str, dict[str, str]], default_currency: str | None) -> list[str]:
    """Formats the money of each currency on a line, event by event: a refund beside a sale is no sum of the two.

    The default currency comes first, then the largest sums; of many currencies, the others are counted.
    """
    by_currency: dict[str, dict[str, Decimal]] = {}
    for event, sums in by_event.items():
        for currency, value in sums.items():
            by_currency.setdefault(currency, {})[event] = Decimal(value)
    ranked = sorted(
        by_currency, key=lambda name: (name != default_currency, -max(map(abs, by_currency[name].values())), name)
    )
    lines = []
    for currency in ranked[:_MOST_CURRENCIES]:
        events = sorted(by_currency[currency].items(), key=lambda pair: (-abs(pair[1]), pair[0]))
        shown = ", ".join(f"{event} {value:,f}" for event, value in events)
        lines.append(f"  {currency or 'no currency'}: {shown}")
    rest = len(ranked) - _MOST_CURRENCIES
    return [
        *lines,
        *([f"  and {plural(rest, 'more currency', 'more currencies')}; --summary has all"] if rest > 0 else []),
    ]


def _counts(title: str, counts: dict[str, int]) -> list[str]:
    """Formats counts as `title: a 1, b 2`."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [f"  {title}: {', '.join(f'{name} {count:,}' for name, count in ranked)}"] if counts else []
