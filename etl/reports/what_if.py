"""Compares two rulesets on the same inputs: counts the records that change, with money, by integration.

The inputs run once under each ruleset. Both runs write their rows in the order of the records, so they are compared one
range of records at a time, in bounded memory.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import OutputError
from etl.reports.display import as_html
from etl.rules.ruleset import Ruleset
from etl.runner.parquet import scan_files, write_table
from etl.runner.run import run_job
from etl.runner.stage_inputs import SILENT, Progress, RunRequest
from etl.schema import CONVERSIONS, REJECTIONS, Table
from etl.sources.storage.inputs import found_inputs

#: How many parts of the first run's tables make one range.
PARTS_PER_RANGE: Final = 8

#: How many examples are kept of each change: the first in the order of the records.
EXAMPLES: Final = 3

#: Any number of amounts below this limit can be summed as Decimal(38, 9).
_SUMMABLE: Final = 10**20

#: The columns that are compared; `outcome` is `conversion`, the reason of a rejection, or `skipped`.
VERDICT: Final = ("outcome", "event", "value", "currency", "match_type", "match_key")
_MONEY: Final = ("value_total", "value_by_event")
_RECORD_COLUMNS: Final = ("source", "record_no", "account_id", "integration", "received_at")


class ChangeKind(NamedTuple):
    """One way in which a record can change: its code, its meaning, and the condition for it."""

    code: str
    what: str
    applies: pl.Expr


def _differs(column: str) -> pl.Expr:
    return pl.col(f"{column}_a").ne_missing(pl.col(f"{column}_b"))


_CONVERTS_A: Final = pl.col("outcome_a") == "conversion"
_CONVERTS_B: Final = pl.col("outcome_b") == "conversion"
_BOTH_CONVERT: Final = _CONVERTS_A & _CONVERTS_B
_NEITHER_CONVERTS: Final = ~_CONVERTS_A & ~_CONVERTS_B

CHANGES: Final = (
    ChangeKind("conversion_lost", "a conversion becomes a rejection or is skipped", _CONVERTS_A & ~_CONVERTS_B),
    ChangeKind("conversion_gained", "a rejected or skipped record becomes a conversion", ~_CONVERTS_A & _CONVERTS_B),
    ChangeKind("other_reason", "rejected or skipped for another reason", _NEITHER_CONVERTS & _differs("outcome")),
    ChangeKind("event", "the event differs", _BOTH_CONVERT & _differs("event")),
    ChangeKind("value", "the value differs", _BOTH_CONVERT & _differs("value")),
    ChangeKind("currency", "the currency differs", _BOTH_CONVERT & _differs("currency")),
    ChangeKind("match_key", "the match key differs", _BOTH_CONVERT & (_differs("match_type") | _differs("match_key"))),
)


#: Sums of values: event -> currency -> amount. A refund of 70 beside a sale of 70 is not 140.
EventSums = dict[str, dict[str, Decimal]]


class Group(NamedTuple):
    """The records of one integration that change in one way; `change` is the code of a `ChangeKind`."""

    change: str
    account_id: str | None
    integration: str | None


@dataclass
class Comparison:
    """The differences between two rulesets on the same records.

    Attributes:
        rulesets: The two rulesets.
        summaries: The summaries of the two runs.
        changed: How many records change.
        records: How many records each group has.
        money_a: For each group, the sums of values under the first ruleset.
        money_b: The same under the second ruleset.
        examples: The first rows of `changed_rows`, by code of the change.
    """

    rulesets: tuple[Ruleset, Ruleset]
    summaries: tuple[dict[str, Any], dict[str, Any]]
    changed: int = 0
    records: Counter[Group] = field(default_factory=Counter)
    money_a: dict[Group, EventSums] = field(default_factory=dict)
    money_b: dict[Group, EventSums] = field(default_factory=dict)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, changes: pl.DataFrame) -> None:
        """Adds rows of `changed_rows` to the counts, sums and examples."""
        self.changed += changes.height
        for change in CHANGES:
            changed = changes.filter(pl.col("changes").list.contains(change.code))
            owners = changed.group_by("account_id", "integration").len()
            self.records.update({Group(change.code, *owner): count for *owner, count in owners.iter_rows()})
            for money, side in ((self.money_a, "a"), (self.money_b, "b")):
                _add_money(money, changed, change.code, side)
            kept = self.examples.setdefault(change.code, [])
            kept += changed.head(EXAMPLES - len(kept)).to_dicts()

    def _repr_html_(self) -> str:
        names = " -> ".join(ruleset.name for ruleset in self.rulesets)
        groups = [(*group, count) for group, count in self.records.items()]
        frame = pl.DataFrame(groups, schema=[*Group._fields, "records"], orient="row")
        return as_html(names, [f"{self.changed:,} records change"], [("By integration", frame)])

    def as_data(self) -> dict[str, Any]:
        """Converts the comparison to dicts and lists."""
        return {
            "rulesets": [{"name": ruleset.name, "digest": ruleset.digest} for ruleset in self.rulesets],
            "records": self.summaries[0]["records"],
            "changed": self.changed,
            "totals": [
                {name: summary[name] for name in ("conversions", "rejections", "skipped", *_MONEY)}
                for summary in self.summaries
            ],
            "changes": [self._change_as_data(change) for change in CHANGES],
        }

    def groups(self, code: str) -> list[tuple[Group, int]]:
        """Lists the groups of a change and their numbers of records, most records first."""
        groups = [(group, count) for group, count in self.records.items() if group.change == code]
        return sorted(groups, key=lambda item: (-item[1], str(item[0])))

    def _change_as_data(self, change: ChangeKind) -> dict[str, Any]:
        """Converts the groups and examples of a change to dicts and lists."""
        groups = self.groups(change.code)
        return {
            "change": change.code,
            "what": change.what,
            "records": sum(count for _, count in groups),
            "by_integration": [
                {
                    "account_id": group.account_id,
                    "integration": group.integration,
                    "records": count,
                    "money_a": _by_currency(self.money_a.get(group, {})),
                    "money_b": _by_currency(self.money_b.get(group, {})),
                    "by_event_a": self.money_a.get(group, {}),
                    "by_event_b": self.money_b.get(group, {}),
                }
                for group, count in groups
            ],
            "examples": self.examples.get(change.code, []),
        }


def compare_rulesets(
    request: RunRequest, rulesets: tuple[Ruleset, Ruleset], progress: Progress = SILENT, changes: Path | None = None
) -> Comparison:
    """Runs the same inputs under two rulesets and compares the results.

    Args:
        request: What to read and how; its `out` is a folder to work in, which holds both runs' tables afterwards.
        rulesets: The two rulesets.
        progress: Where to tell how it gets on.
        changes: A Parquet file to write the rows of `changed_rows` to; None: no file.

    Raises:
        EtlError: The inputs cannot be read, or nothing can be written.
    """
    folder = Path(str(request.out))
    outs = folder / "a", folder / "b"
    with found_inputs(list(request.inputs), folder) as inputs:
        first, second = (
            run_job(replace(request.under(ruleset), out=out), progress, inputs)
            for out, ruleset in zip(outs, rulesets, strict=True)
        )
    comparison = Comparison(rulesets, (first, second))
    pieces = folder / "changes"
    pieces.mkdir()
    for number, rows in enumerate(changed_rows(*outs)):
        comparison.add(rows)
        if changes is not None and (rows.height or not number):
            write_table(rows, pieces / f"{number:06d}.parquet")
    if changes is not None:
        _join_pieces(pieces, changes)
    return comparison


def _join_pieces(pieces: Path, path: Path) -> None:
    """Joins Parquet files to one file, which replaces an older file atomically."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scan_files(sorted(pieces.glob("*.parquet"))).sink_parquet(staged, maintain_order=True)
        staged.replace(path)
    except (OSError, pl.exceptions.ComputeError) as error:
        raise OutputError(f"{path} cannot be written: {error}", "Make room, or name another file.") from error
    finally:
        staged.unlink(missing_ok=True)


def changed_rows(out_a: Path, out_b: Path) -> Iterator[pl.DataFrame]:
    """Finds the records that differ between two runs over the same inputs, one range of records at a time.

    Args:
        out_a: Folder of the first run's tables.
        out_b: Folder of the second run's tables.

    Yields:
        record_id, source, record_no, account_id, integration, received_at, changes (codes of `CHANGES`), and the
        columns of `VERDICT` twice, with `_a` and `_b`; ascending by record_id.
    """
    after = ""
    for last_id in [*_boundaries(out_a), None]:
        sides = [_verdicts(out, after, last_id).collect() for out in (out_a, out_b)]
        yield _join_sides(*sides)
        after = last_id or after


def _boundaries(out: Path) -> list[str]:
    """Finds the last record_id of every `PARTS_PER_RANGE` files of a run's tables."""
    last: dict[str, str] = {}
    for table, column in ((CONVERSIONS, "conversion_id"), (REJECTIONS, "rejection_id")):
        for path in sorted((out / table.name).glob("part-*.parquet")):
            found = scan_files([path]).select(pl.col(column).max()).collect().item()
            if found is not None:
                last[path.name] = max(found, last.get(path.name, ""))
    return [last[name] for name in sorted(last)[PARTS_PER_RANGE - 1 :: PARTS_PER_RANGE]]


def _scan_table(out: Path, table: Table) -> pl.LazyFrame:
    return scan_files(sorted((out / table.name).glob("*.parquet")))


def _verdicts(out: Path, after: str, last_id: str | None) -> pl.LazyFrame:
    """Reads the records of a run with ids after `after` up to `last_id`, with `VERDICT` and `_RECORD_COLUMNS`."""
    conversions = _scan_table(out, CONVERSIONS).rename({"conversion_id": "record_id"})
    rejections = _scan_table(out, REJECTIONS).rename({"rejection_id": "record_id"})
    nothing = [pl.lit(None, CONVERSIONS.schema[name]).alias(name) for name in VERDICT[1:]]
    sides = (
        conversions.with_columns(outcome=pl.lit("conversion")),
        rejections.with_columns(*nothing, outcome=pl.col("reason")),
    )
    columns = ("record_id", *_RECORD_COLUMNS, *VERDICT)
    is_in_range = (pl.col("record_id") > after) & (
        pl.lit(value=True) if last_id is None else pl.col("record_id") <= last_id
    )
    return pl.concat([side.filter(is_in_range).select(columns) for side in sides])


def _join_sides(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Joins the records of two runs and keeps the records that change, with the codes of their changes."""
    first, second = (
        rows.rename({name: f"{name}_{side}" for name in (*VERDICT, *_RECORD_COLUMNS)})
        for rows, side in ((left, "a"), (right, "b"))
    )
    joined = first.join(second, on="record_id", how="full", coalesce=True).with_columns(
        pl.col(f"outcome_{side}").fill_null("skipped") for side in "ab"
    )
    codes = pl.concat_list(pl.when(change.applies).then(pl.lit(change.code)) for change in CHANGES).list.drop_nulls()
    return (
        joined.select(
            "record_id",
            *(pl.coalesce(f"{name}_a", f"{name}_b").alias(name) for name in _RECORD_COLUMNS),
            codes.alias("changes"),
            *(f"{name}_{side}" for name in VERDICT for side in "ab"),
        )
        .filter(pl.col("changes").list.len() > 0)
        .sort("record_id")
    )


def _by_currency(sums: EventSums) -> dict[str, Decimal]:
    """Adds the sums of all events."""
    totals: dict[str, Decimal] = {}
    for by_currency in sums.values():
        for currency, value in by_currency.items():
            totals[currency] = totals.get(currency, Decimal(0)) + value
    return totals


def _add_money(money: dict[Group, EventSums], changes: pl.DataFrame, code: str, side: str) -> None:
    """Adds the values of one run to sums by integration, event and currency.

    Values from `_SUMMABLE` on are added one by one in Python, because their sum may not fit in Decimal(38, 9).
    """
    value = pl.col(f"value_{side}")
    valued = changes.drop_nulls(f"value_{side}").with_columns(pl.col(f"currency_{side}").fill_null(""))
    sums = valued.group_by("account_id", "integration", f"event_{side}", f"currency_{side}").agg(
        value.filter(value.abs() < _SUMMABLE).sum().alias("sum"), value.filter(value.abs() >= _SUMMABLE).alias("large")
    )
    for account, integration, event, currency, total, large in sums.sort(f"event_{side}").iter_rows():
        totals = money.setdefault(Group(code, account, integration), {}).setdefault(event, {})
        totals[currency] = sum(large, totals.get(currency, Decimal(0)) + total)
