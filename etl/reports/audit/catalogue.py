"""The answers in their order, and how they are found: everything that a report shows."""

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
from etl.reports.audit.measures import LEVELS, MEASURES, Measure, count_days, join_days, measure_by, measure_whole
from etl.reports.audit.question import Answer, Chart, Found, Whole
from etl.reports.audit.tables import Frames
from etl.schema import MONEY

#: One row an answer. Adding one is a module with an `ANSWER`, and its row here.
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

#: Every measure by name, those that answers count themselves too.
BY_NAME: Final = {
    measure.name: measure
    for module in (match_quality, alias_conflicts, duplicates, failures)
    for measure in (_POSTBACKS, *MEASURES, *module.MEASURES)
}


class Shown(NamedTuple):
    """A frame as a report shows it; the rows of a chart may be more than a terminal has room for."""

    key: str
    title: str
    rows: pl.DataFrame
    chart: Chart | None = None


class Section(NamedTuple):
    """An answer that was found: its number, its row, its sentences, its frames."""

    number: int
    answer: Answer
    says: list[str]
    sheets: list[Shown]


def find_answers(frames: Frames, chosen: tuple[str, ...] = ()) -> list[Section]:
    """The answers in their order.

    Args:
        frames: The tables.
        chosen: Keys of the answers to find; none: all.
    """
    numbered = [(number, answer) for number, answer in enumerate(ANSWERS, 1) if not chosen or answer.key in chosen]
    found = {answer.key: answer.find(frames) for _, answer in numbered}
    days = _days(frames, found)
    return [_section(number, answer, found[answer.key], days) for number, answer in numbered]


def _days(frames: Frames, found: dict[str, Found]) -> pl.DataFrame:
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


def _section(number: int, answer: Answer, found: Found, days: pl.DataFrame) -> Section:
    measures = tuple(BY_NAME[name] for name in answer.measures)
    whole = measure_whole(days, measures, answer.base)
    titles = {
        "by_integration": "By integration",
        "by_day": "By day",
        "by_integration_and_day": "By integration and day",
    }
    charts: dict[str, Any] = {}
    if answer.days_chart:
        charts["by_day"] = Chart("days", ("day",), answer.days_chart, f"{answer.title}: by day")
    shown = [
        Shown("whole", "The whole", whole),
        *(Shown(sheet.key, sheet.title, found[sheet.key], sheet.chart) for sheet in answer.sheets),
        *(Shown(key, titles[key], _level(days, key, measures), charts.get(key)) for key in LEVELS),
    ]
    return Section(number, answer, answer.says(Whole.of(whole), found), shown)


def _level(days: pl.DataFrame, key: str, measures: tuple[Measure, ...]) -> pl.DataFrame:
    """The measures of a level; integrations with the busiest first, days in their order."""
    rows = measure_by(days, LEVELS[key], measures)
    return rows.sort(measures[0].name, descending=True, maintain_order=True) if key == "by_integration" else rows
