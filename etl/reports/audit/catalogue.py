"""Lists the answers in their order, and finds everything that a report shows of them."""

from __future__ import annotations

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
from etl.reports.audit.measures import LEVELS, MEASURES, Measure, count_days, join_days, measure_by, measure_totals
from etl.reports.audit.question import Answer, Chart, Findings, Totals
from etl.reports.audit.tables import Frames
from etl.schema import MONEY

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
    """One answer in a report: its number, its definition, its sentences and its frames."""

    number: int
    answer: Answer
    sentences: list[str]
    sheets: list[ShownSheet]


def find_answers(frames: Frames, chosen: tuple[str, ...] = ()) -> list[ReportSection]:
    """Finds answers from the tables, in the order of `ANSWERS`.

    Args:
        frames: The tables.
        chosen: Keys of the answers to find; all if empty. Unknown keys are ignored.
    """
    numbered = [(number, answer) for number, answer in enumerate(ANSWERS, 1) if not chosen or answer.key in chosen]
    found = {answer.key: answer.find(frames) for _, answer in numbered}
    days = _days(frames, found)
    return [_section(number, answer, found[answer.key], days) for number, answer in numbered]


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


def _section(number: int, answer: Answer, findings: Findings, days: pl.DataFrame) -> ReportSection:
    """Builds the section of an answer from its own frames and from the measures by day."""
    measures = tuple(BY_NAME[name] for name in answer.measures)
    totals = measure_totals(days, measures, answer.base)
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
        *(ShownSheet(key, titles[key], _level(days, key, measures), charts.get(key)) for key in LEVELS),
    ]
    return ReportSection(number, answer, answer.summarise(Totals.of(totals), findings), shown)


def _level(days: pl.DataFrame, key: str, measures: tuple[Measure, ...]) -> pl.DataFrame:
    """Sums the measures by a level's keys: integrations with the highest first measure first, days by date."""
    rows = measure_by(days, LEVELS[key], measures)
    return rows.sort(measures[0].name, descending=True, maintain_order=True) if key == "by_integration" else rows
