"""Lists the answers in their order, and finds everything that a report shows of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NamedTuple

import polars as pl

from etl.reports.audit import (
    alias_conflicts,
    amounts,
    duplicates,
    failures,
    funnel,
    lead_trap,
    match_quality,
    senders,
    times,
    trait_coverage,
    unknown_types,
    unread_parameters,
)
from etl.reports.audit.measures import (
    LEVELS,
    MEASURES,
    Measure,
    count_days,
    join_days,
    measure_by,
    measure_totals,
    sum_levels,
)
from etl.reports.audit.question import Answer, Chart, Findings, Totals, share_of_origin
from etl.reports.audit.tables import INTEGRATION_KEYS, Frames, joined_money, main_first
from etl.runner.published_tables import read
from etl.schema import MONEY

_MOST_EXAMPLES: Final = 3

#: One row per answer. To add an answer, write a module with an `ANSWER` and add a row here.
ANSWERS: Final[tuple[Answer, ...]] = (
    funnel.ANSWER,
    match_quality.ANSWER,
    lead_trap.ANSWER,
    unknown_types.ANSWER,
    unread_parameters.ANSWER,
    alias_conflicts.ANSWER,
    times.ANSWER,
    duplicates.ANSWER,
    amounts.ANSWER,
    failures.ANSWER,
    trait_coverage.ANSWER,
    senders.ANSWER,
)

_POSTBACKS: Final = Measure("postbacks", "postbacks and unreadable records", "both", None, has_money=True)

#: Every measure by name, including the measures that answers count in their own modules.
BY_NAME: Final = {
    measure.name: measure
    for module in (match_quality, alias_conflicts, duplicates, failures)
    for measure in (_POSTBACKS, *MEASURES, *module.MEASURES)
}


class ShownSheet(NamedTuple):
    """A frame of a report, with its title and chart. A chart may draw more rows than a terminal shows."""

    key: str
    title: str
    rows: pl.DataFrame
    chart: Chart | None = None


class ReportSection(NamedTuple):
    """One answer in a report.

    Attributes:
        number: Its number.
        answer: Its definition.
        sentences: The answer in words.
        sheets: Its frames.
        lost: How many records are lost or misread.
        money: Their money, a cell of `tables.AMOUNTS`; the main currency comes first.
        examples: Ids of up to three of these records.
        cure: What would keep such records.
        is_amiss: Whether there are such records, or signs of others that never came.
        rank: Its place among the answers where something is amiss, the most money first; None elsewhere.
    """

    number: int
    answer: Answer
    sentences: list[str]
    sheets: list[ShownSheet]
    lost: int
    money: list[dict[str, Any]]
    examples: list[str]
    cure: str
    is_amiss: bool
    rank: int | None = None


def find_answers(frames: Frames, chosen: tuple[str, ...] = ()) -> tuple[list[ReportSection], str | None]:
    """Finds answers from the tables, in the order of `ANSWERS`, and the currency that comes first.

    Args:
        frames: The tables.
        chosen: Keys of the answers to find; all if empty. Unknown keys are ignored.
    """
    numbered = [(number, answer) for number, answer in enumerate(ANSWERS, 1) if not chosen or answer.key in chosen]
    found = {answer.key: answer.find(frames) for _, answer in numbered}
    days = _days(frames, found)
    currency = _main_currency(days)
    shown = dict.fromkeys(name for _, answer in numbered for name in (answer.base, *answer.measures))
    levels = sum_levels(days, [BY_NAME[name] for name in shown])
    sections = [_section(one, found[one[1].key], levels, frames, currency) for one in numbered]
    ranks = {key: rank for rank, key in enumerate(_by_money(sections, currency), 1)}
    return [section._replace(rank=ranks.get(section.answer.key)) for section in sections], currency


def _by_money(sections: list[ReportSection], currency: str | None) -> list[str]:
    """Lists the keys of answers that find something amiss, the most money in a currency first."""

    def weight(section: ReportSection) -> tuple[Decimal, Decimal, int]:
        amounts = {amount["currency"]: abs(amount["amount"]) for amount in section.money}
        return amounts.get(currency, Decimal()), max(amounts.values(), default=Decimal()), section.lost

    found = (section for section in sections if section.is_amiss)
    return [section.answer.key for section in sorted(found, key=weight, reverse=True)]


def _main_currency(days: pl.DataFrame) -> str | None:
    """Finds the default currency, where one was given; else the currency of most conversions with money."""
    counts = days.group_by("currency").agg(pl.col("defaulted_currency", "with_value").sum()).drop_nulls("currency")
    first = counts.sort("defaulted_currency", "with_value", "currency", descending=[True, True, False]).head(1)
    return first["currency"].item() if first.height else None


def _examples(frames: Frames, answer: Answer, findings: Findings) -> list[str]:
    """Finds ids of up to three records that are lost or misread, the lowest first."""
    found: list[str] = findings["examples"].to_series().sort().to_list() if "examples" in findings else []
    for table, key in (("conversions", "conversion_id"), ("rejections", "rejection_id")):
        measures = (BY_NAME[name] for name in answer.losses)
        conditions = [one.rows for one in measures if one.table == table and one.rows is not None]
        if conditions:
            rows = getattr(frames, table).filter(pl.any_horizontal(conditions)).select(key)
            found += read(rows.bottom_k(_MOST_EXAMPLES, by=key)).to_series().sort().to_list()
    return found[:_MOST_EXAMPLES]


def _days(frames: Frames, found: dict[str, Findings]) -> pl.DataFrame:
    """Joins the measures of all answers by `DAY_KEYS`; a measure that nothing counted is null."""
    days = join_days([count_days(frames), *(sheets["days"] for sheets in found.values() if "days" in sheets)])
    counts = {measure.name: pl.Int64() for measure in BY_NAME.values()}
    money = {f"{measure.name}_money": MONEY for measure in BY_NAME.values() if measure.has_money}
    columns: dict[str, pl.DataType] = {**counts, **money}
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in days.columns]
    both = [
        pl.sum_horizontal(f"conversions{kind}", f"rejections{kind}").alias(f"postbacks{kind}")
        for kind in ("", "_money")
    ]
    return days.with_columns(missing).with_columns(both)


def _section(
    numbered: tuple[int, Answer],
    findings: Findings,
    levels: dict[str, pl.DataFrame],
    frames: Frames,
    currency: str | None,
) -> ReportSection:
    """Builds the section of an answer from its own frames and from the measures by level."""
    number, answer = numbered
    measures = tuple(BY_NAME[name] for name in answer.measures)
    totals = measure_totals(levels["whole"], measures, answer.base)
    titles = {
        "by_integration": "By integration",
        "by_day": "By day",
        "by_integration_and_day": "By integration and day",
    }
    charts: dict[str, Any] = {}
    if answer.days_chart:
        charts["by_day"] = Chart("days", ("day",), answer.days_chart, f"{answer.title}: by day")
    shown = [
        ShownSheet("whole", "Totals", totals),
        *(ShownSheet(sheet.key, sheet.title, findings[sheet.key], sheet.chart) for sheet in answer.sheets),
        *(
            ShownSheet(key, titles[key], _level(levels[key], key, measures, answer.losses), charts.get(key))
            for key in LEVELS
        ),
    ]
    lost = totals.filter(pl.col("measure").is_in(answer.losses))
    count = int(lost["count"].sum())
    examples = _examples(frames, answer, findings) if count else []
    sums = Totals.of(totals, currency, _origin(levels["by_integration"], answer.losses))
    cure = answer.cure_of(sums, findings) if answer.cure_of else answer.cure
    money = main_first(joined_money(lost["money"]), currency)
    is_amiss = count > 0 or answer.is_amiss(findings)
    return ReportSection(
        number, answer, answer.summarise(sums, findings), shown, count, money, examples, cure, is_amiss
    )


def _origin(level: pl.DataFrame, losses: tuple[str, ...]) -> str:
    """Says which integration most of the lost records come from: a sentence after a blank, or nothing."""
    lost = level.select(*INTEGRATION_KEYS, lost=pl.sum_horizontal(losses or [pl.lit(0)]))
    first = (
        lost.sort("lost", *INTEGRATION_KEYS, descending=[True, False, False]).row(0, named=True) if lost.height else {}
    )
    if not first or not first["lost"] or 2 * first["lost"] <= lost["lost"].sum() or first["integration"] is None:
        return ""
    account = f" of account {first['account_id']}" if lost["account_id"].n_unique() > 1 else ""
    return (
        f" {share_of_origin(first['lost'], int(lost['lost'].sum()))} from integration {first['integration']}{account}."
    )


def _level(level: pl.DataFrame, key: str, measures: tuple[Measure, ...], losses: tuple[str, ...]) -> pl.DataFrame:
    """Selects the measures of a level, losses first: integrations with the highest losses first, days by date."""
    first, *others = measures
    rows = measure_by(level, LEVELS[key], (first, *sorted(others, key=lambda measure: measure.name not in losses)))
    if key != "by_integration":
        return rows
    return rows.sort(pl.sum_horizontal(losses or (first.name,)), first.name, descending=True, maintain_order=True)
