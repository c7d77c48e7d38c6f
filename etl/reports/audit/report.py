"""Makes a report: the answers about a folder of published tables, and notes on what limits them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from etl.errors import UsageError, choices
from etl.reports.audit.catalogue import ANSWERS, ReportSection, find_answers
from etl.reports.audit.question import ALL_AMOUNTS, money_text
from etl.reports.audit.tables import AMOUNTS, joined_money, main_first, make_frames
from etl.reports.display import as_html
from etl.rules.ruleset import Ruleset
from etl.rules.vendors import find_ruleset, shipped_names
from etl.runner.published_tables import Published, read
from etl.sources.settings import check_zone
from etl.warehouse.stores import Period, open_store


class Report(NamedTuple):
    """The answers about published tables.

    Attributes:
        store: Folder or address of the tables, as it was named.
        zone: IANA name of the time zone of days and hours.
        manifest: The manifest of the tables, see `stores.open_store`.
        first: When the first postback was received; None if no postback has a time.
        last: When the last postback was received, likewise.
        notes: What limits the answers.
        sections: The answers, in their order.
        currency: The default currency, or else that of most conversions with money.
        options: The options of the report, by flag.
    """

    store: str
    zone: str
    manifest: dict[str, Any]
    first: datetime | None
    last: datetime | None
    notes: list[str]
    sections: list[ReportSection]
    currency: str | None
    options: dict[str, str]

    def as_data(self) -> dict[str, Any]:
        """Converts the report to plain data, with every row of every frame."""
        return as_json(self)

    def _repr_html_(self) -> str:
        sheets = (
            (f"{section.number}. {section.answer.title}: {sheet.title}", _with_money_as_text(sheet.rows))
            for section in self.sections
            for sheet in section.sheets[1:]
        )
        sentences = (sentence for section in self.sections for sentence in section.sentences)
        return as_html(f"Where attribution is lost: {self.store}", (*self.notes, *sentences), sheets)

    @property
    def findings(self) -> list[ReportSection]:
        """The answers that find something amiss, the most money first."""
        return sorted((section for section in self.sections if section.rank), key=lambda section: section.rank or 0)

    @property
    def at_stake(self) -> list[dict[str, Any]]:
        """The money of all findings, the main currency first; a record of two findings is counted twice."""
        money = joined_money(pl.Series([section.money for section in self.findings], dtype=AMOUNTS))
        return main_first(money, self.currency)

    @property
    def name(self) -> str:
        """The last part of the store's name."""
        return self.store.rstrip("/").rpartition("/")[2]


def make_report(
    store: str | Path,
    ruleset: str | None,
    zone: str,
    chosen: tuple[str, ...] = (),
    period: Period = Period(),  # noqa: B008 - a tuple
) -> Report:
    """Makes a report of the tables of a store.

    Args:
        store: A folder that `run` or `export` wrote, or a warehouse.
        ruleset: Name or file of the ruleset of that run; None: the name in the manifest.
        zone: IANA name of the time zone of days and hours.
        chosen: Keys of the answers to find; empty: all.
        period: Only these postbacks.

    Raises:
        UsageError: An answer, zone or ruleset is unknown, or the store holds no tables.
        InputError: The tables cannot be read.
    """
    known = [answer.key for answer in ANSWERS]
    unknown = [key for key in chosen if key not in known]
    if unknown:
        raise UsageError(f"There is no answer {unknown[0]!r}.", choices(unknown[0], known, "The answers"))
    check_zone("--timezone", zone)
    published = open_store(store, period)
    rules, notes = find_rules(published.manifest, ruleset)
    notes = [*published.manifest["notes"], *notes]
    first, last, undated = _period(published, zone)
    if undated:
        notes.append(f"{undated:,} postbacks have no received_at: they count in the totals, but in no day or hour.")
    sections, currency = find_answers(make_frames(published, rules, zone), chosen)
    options = {
        "--timezone": zone,
        "--since": period.since and period.since.isoformat(),
        "--until": period.until and period.until.isoformat(),
        "--ruleset": ruleset,
        "--answer": ", ".join(chosen),
    }
    given = {flag: value for flag, value in options.items() if value}
    return Report(published.store, zone, published.manifest, first, last, notes, sections, currency, given)


def _with_money_as_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Formats columns of money, with all currencies."""
    texts = {
        name: [money_text(money, ALL_AMOUNTS) for money in rows[name].to_list()]
        for name, dtype in rows.schema.items()
        if dtype == AMOUNTS
    }
    return rows.with_columns(pl.Series(name, found, pl.String) for name, found in texts.items())


def find_rules(manifest: dict[str, Any], name: str | None) -> tuple[Ruleset, list[str]]:
    """Finds the ruleset that tables were made with, and a note if another ruleset is used in its place."""
    recorded = manifest["ruleset"] or {"name": "", "digest": ""}
    if name is not None:
        rules = find_ruleset(name)
    elif recorded["name"] in shipped_names():
        rules = find_ruleset(recorded["name"])
    else:
        rules = Ruleset()
    if rules.digest == recorded["digest"]:
        return rules, []
    if not recorded["name"]:
        return rules, [f"The ruleset of the tables is not known; this report uses {rules.name!r}."]
    return rules, [
        (
            f"The tables were made with the ruleset {recorded['name']!r}, but this report uses {rules.name!r}:"
            " suggestions may differ. Name the file of the run's ruleset with --ruleset."
        )
    ]


def as_json(report: Report) -> dict[str, Any]:
    """Converts a report to plain data, with every row of every frame."""
    return {
        "folder": report.store,
        "timezone": report.zone,
        "ruleset": report.manifest["ruleset"],
        "first_received_at": report.first,
        "last_received_at": report.last,
        "notes": report.notes,
        "answers": [
            {
                "number": section.number,
                "key": section.answer.key,
                "title": section.answer.title,
                "question": section.answer.question,
                "says": section.sentences,
                "rank": section.rank,
                "lost": section.lost,
                "at_stake": section.money,
                "cure": section.cure or None,
                "examples": section.examples,
                "unknown": section.answer.unknown or None,
                "sheets": {sheet.key: sheet.rows.to_dicts() for sheet in section.sheets},
            }
            for section in report.sections
        ],
    }


def _period(published: Published, zone: str) -> tuple[datetime | None, datetime | None, int]:
    """Finds the first and the last time of receipt in a zone, and how many postbacks have none."""
    postbacks = published.rejections.filter(pl.col("reason") != "malformed_record")
    times = pl.concat([published.conversions.select("received_at"), postbacks.select("received_at")])
    local = pl.col("received_at").dt.convert_time_zone(zone)
    first, last, undated = read(times.select(first=local.min(), last=local.max(), undated=local.null_count())).row(0)
    return first, last, undated
