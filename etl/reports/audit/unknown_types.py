"""Answer 4: conversion types that are not in the table, and what was probably meant (rules 5.2)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.columnar.factorize import on_distinct
from etl.reports.audit.question import Answer, Chart, Found, Sheet, Whole, plural
from etl.reports.audit.tables import WHOSE, Frames, counted
from etl.transform.rejections import suggest_type

_LONGEST: Final = 100


def find_unknown_types(frames: Frames) -> Found:
    """types: one row a conversion_type; senders: one row an account, integration and type."""
    unknown = frames.rejections.filter(pl.col("reasons").list.contains("unknown_conversion_type")).with_columns(
        pl.col("conversion_type").str.slice(0, _LONGEST)
    )
    types = counted(unknown, "conversion_type", count="rejections")
    events = dict(frames.ruleset.events)
    correction = on_distinct(types["conversion_type"], lambda text: suggest_type(text, frames.ruleset))
    meant = correction.str.extract("'(.*)'")
    return {
        "types": types.with_columns(
            correction=correction.fill_null("none is near: map it in a ruleset, or send event_name"),
            event=on_distinct(meant, events.get),
        ),
        "senders": counted(unknown, *WHOSE, "conversion_type", count="rejections"),
    }


def _say(whole: Whole, found: Found) -> list[str]:
    if not whole.counts["unknown_type"]:
        return ["Every conversion_type that was sent is in the table."]
    types = found["types"]
    first = types.row(0, named=True)
    curable = int(types.filter(pl.col("event").is_not_null())["rejections"].sum())
    return [
        (
            f"{plural(whole.counts['unknown_type'], 'postback was', 'postbacks were')} rejected with one of"
            f" {plural(types.height, 'unknown conversion_type')}{whole.worth('unknown_type')}."
        ),
        f"The most frequent is {first['conversion_type']!r}: {first['rejections']:,}; {first['correction']}.",
        f"For {curable:,} of them the right type is plain.",
    ]


ANSWER: Final = Answer(
    key="unknown_types",
    title="Unknown conversion types",
    question="Which types are not in the table, and what was probably meant?",
    base="postbacks",
    measures=("postbacks", "unknown_type"),
    find=find_unknown_types,
    sheets=(
        Sheet(
            "types",
            "Ranked",
            Chart("bars", ("conversion_type",), ("rejections",), "postbacks rejected with an unknown type"),
        ),
        Sheet("senders", "By integration"),
    ),
    days_chart=("unknown_type",),
    says=_say,
)
