"""The command `what-if`: compares two rulesets on the same inputs."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from etl.cli import options

if TYPE_CHECKING:
    from etl.reports.what_if import Comparison, EventSums, Group
    from etl.rules.ruleset import Ruleset


#: The options that decide what records become, apart from the ruleset.
_JUDGING: Final = ("default_currency", "account", "integration", "pii")
_OPTIONS: Final = (*options.READING, "unknown", "min_matched", *_JUDGING, "jobs")


@options.with_options(*_OPTIONS)
def what_if(
    inputs: options.Inputs,
    ruleset: Annotated[
        list[str],
        typer.Option(metavar="NAME|FILE", help="Rules, as for run; give it twice, or once to compare with the page."),
    ],
    changes: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the rows that change as Parquet.")] = None,
    *,
    typed: options.Typed,
    as_json: options.AsJson = False,
    events: options.Events = options.EventsMode.TEXT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on the terminal.")] = False,
    debug: options.Debug = False,
) -> None:
    """Show which records change under another ruleset, with money and examples, by integration.

    The command compares event, value, currency, match key, and the outcome: a conversion, a rejection, or skipped.
    """
    import tempfile

    from etl.cli import terminal
    from etl.cli.progress import report_progress
    from etl.errors import InterruptedRunError, UsageError
    from etl.reports.what_if import compare_rulesets
    from etl.warehouse.stores import expand_stores

    rulesets = _read_both(ruleset, typed.parsed().collect_path)
    if changes is not None and not changes.absolute().parent.is_dir():
        raise UsageError(f"--changes {str(changes)!r} names a folder that does not exist.", "Make the folder first.")
    try:
        with tempfile.TemporaryDirectory(prefix="postback-etl-") as folder, report_progress(is_quiet=quiet) as progress:
            request = typed.request(expand_stores(inputs), Path(folder))
            comparison = compare_rulesets(request, rulesets, progress, changes)
    except KeyboardInterrupt as error:  # polars raises it in spite of the handler
        raise InterruptedRunError from error
    if as_json:
        terminal.write_json(comparison.as_data())
        return
    for title, rows in _sections(comparison):
        terminal.print_facts(title, rows, {}, 32)


def _read_both(names: list[str], collect_path: str | None) -> tuple[Ruleset, Ruleset]:
    """Reads the two rulesets to compare; a single name is compared with the page's rules."""
    from etl.errors import UsageError
    from etl.sources.settings import with_collect_path

    if len(names) > 2:
        raise UsageError(f"--ruleset is given {len(names)} times.", "Give it twice, or once to compare with the page.")
    given = (options.read_ruleset(name) for name in ([None, *names] if len(names) == 1 else names))
    first, second = (with_collect_path(one, collect_path) for one in given)
    if first.digest == second.digest:
        raise UsageError(f"{first.name} and {second.name} are the same rules.", "Name two rulesets that differ.")
    return first, second


def _sections(comparison: Comparison) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yields the sections of the report: a title, and rows of name and text."""
    from etl.reports.what_if import CHANGES

    first, second = comparison.summaries
    names = " -> ".join(ruleset.name for ruleset in comparison.rulesets)
    rows = [(name, f"{_total(first[name]):,} -> {_total(second[name]):,}") for name in _TOTALS]
    sides = [summary["value_by_event"] for summary in (first, second)]
    kinds = {(event, currency) for side in sides for event, sums in side.items() for currency in sums}
    for event, currency in sorted(kinds):
        values = [side.get(event, {}).get(currency, "0") for side in sides]
        if values[0] != values[1]:
            rows.append((f"value of {event}, {currency or 'without currency'}", " -> ".join(values)))
    yield f"{names}: {comparison.changed:,} of {first['records']:,} records change", rows
    for change in CHANGES:
        groups = comparison.groups(change.code)
        if groups:
            count = sum(records for _, records in groups)
            rows = [(_owner(group), f"{_records(n)}, {_both_sums(comparison, group)}") for group, n in groups[:_SHOWN]]
            if len(groups) > _SHOWN:
                rows.append((f"and {len(groups) - _SHOWN} more", _records(sum(n for _, n in groups[_SHOWN:]))))
            rows += [
                (f"{row['source']}:{row['record_no']}", _verdict_changes(row))
                for row in comparison.examples[change.code]
            ]
            yield f"{change.code}: {_records(count)}; {change.what}", rows


#: How many integrations are shown of each change; JSON has all of them.
_SHOWN: Final = 10

_TOTALS: Final = ("conversions", "rejections", "skipped")


def _total(counted: int | dict[str, Any]) -> int:
    return counted if isinstance(counted, int) else int(counted["total"])


def _records(count: int) -> str:
    return f"{count:,} record" + ("s" if count != 1 else "")


def _owner(group: Group) -> str:
    return f"{group.account_id or '-'} / {group.integration or '-'}"


def _both_sums(comparison: Comparison, group: Group) -> str:
    """Formats the sums of a group under both rulesets."""
    return " -> ".join(_sums(money.get(group, {})) for money in (comparison.money_a, comparison.money_b))


def _sums(money: EventSums) -> str:
    """Formats sums by currency, joined by plus signs; where several events have some, each by event."""
    from etl.cli.terminal import plain_amount

    sums = (
        f"{plain_amount(value)} {currency}".strip() + (f" of {event}" if len(money) > 1 else "")
        for event, by_currency in sorted(money.items())
        for currency, value in sorted(by_currency.items())
    )
    return " + ".join(sums) or "no value"


def _verdict_changes(row: dict[str, Any]) -> str:
    """Lists the columns of a record that differ, with their values under both rulesets."""
    from etl.reports.what_if import VERDICT

    return ", ".join(
        f"{name} {_cell_text(row[f'{name}_a'])} -> {_cell_text(row[f'{name}_b'])}"
        for name in VERDICT
        if row[f"{name}_a"] != row[f"{name}_b"]
    )


def _cell_text(value: Any) -> str:
    from etl.cli.terminal import plain_amount

    return "none" if value is None else plain_amount(value) if isinstance(value, Decimal) else str(value)
