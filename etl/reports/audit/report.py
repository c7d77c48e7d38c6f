"""A report: the answers about a folder of published tables, and what must be said beside them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from etl.errors import UsageError
from etl.reports.audit.catalogue import ANSWERS, Section, find_answers
from etl.reports.audit.tables import frames_of
from etl.rules.ruleset import Ruleset
from etl.rules.vendors import find_ruleset, shipped_names
from etl.runner.published_tables import Published, open_published, read
from etl.sources.settings import check_zone


class Report(NamedTuple):
    """What was found.

    Attributes:
        folder: Where the tables lie.
        zone: IANA name of the zone of days and hours.
        manifest: What the run counted.
        first: When the first postback was received; null where none says it.
        last: When the last one was.
        notes: What limits the answers.
        sections: The answers in their order.
    """

    folder: Path
    zone: str
    manifest: dict[str, Any]
    first: datetime | None
    last: datetime | None
    notes: list[str]
    sections: list[Section]


def make_report(folder: Path, ruleset: str | None, zone: str, chosen: tuple[str, ...] = ()) -> Report:
    """Answers what was chosen about the tables in a folder.

    Args:
        folder: That `run --out` wrote.
        ruleset: Name or file of the ruleset it was run with; None: as the tables name it.
        zone: IANA name.
        chosen: Keys of answers; none: all.

    Raises:
        UsageError: An unknown answer, zone or ruleset, or no tables.
        InputError: The tables cannot be read.
    """
    known = [answer.key for answer in ANSWERS]
    unknown = [key for key in chosen if key not in known]
    if unknown:
        raise UsageError(f"There is no answer {unknown[0]!r}.", f"The answers are {', '.join(known)}.")
    check_zone("--timezone", zone)
    published = open_published(folder)
    rules, notes = rules_of(published.manifest, ruleset)
    first, last, undated = _period(published, zone)
    if undated:
        notes.append(f"{undated:,} postbacks have no received_at: they count in the whole, and in no day or hour.")
    sections = find_answers(frames_of(published, rules, zone), chosen)
    return Report(folder, zone, published.manifest, first, last, notes, sections)


def rules_of(manifest: dict[str, Any], name: str | None) -> tuple[Ruleset, list[str]]:
    """The rules that tables were made by, and a note where these are not at hand or not the same."""
    recorded = manifest["ruleset"]
    if name is not None:
        rules = find_ruleset(name)
    elif recorded["name"] in shipped_names():
        rules = find_ruleset(recorded["name"])
    else:
        rules = Ruleset()
    if rules.digest == recorded["digest"]:
        return rules, []
    return rules, [
        (
            f"The tables were made by the ruleset {recorded['name']!r}, which is not the one used here: suggestions may"
            " differ. Name its file with --ruleset."
        )
    ]


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain data: every row of every frame."""
    return {
        "folder": str(report.folder),
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
                "says": section.says,
                "unknown": section.answer.unknown or None,
                "sheets": {sheet.key: sheet.rows.to_dicts() for sheet in section.sheets},
            }
            for section in report.sections
        ],
    }


def _period(published: Published, zone: str) -> tuple[datetime | None, datetime | None, int]:
    times = pl.concat([published.conversions.select("received_at"), published.rejections.select("received_at")])
    local = pl.col("received_at").dt.convert_time_zone(zone)
    first, last, undated = read(times.select(first=local.min(), last=local.max(), undated=local.null_count())).row(0)
    return first, last, undated
