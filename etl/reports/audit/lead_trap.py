"""Answer 3: positive values that became a Lead because nobody said what they are (rules 5.3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.question import Answer, Chart, Found, Sheet, Whole, plural
from etl.reports.audit.tables import WHOSE, Frames, counted, has_issue, sender_family

_CURE: Final = "send conversion_type=purchase beside {}, or the value as commission"


def find_traps(frames: Frames) -> Found:
    """senders: one row an account, integration, sender and parameter, with what would cure it."""
    trapped = frames.conversions.filter(has_issue("lead_by_default")).with_columns(
        sender_family(), parameter="value_param"
    )
    senders = counted(trapped, *WHOSE, "sender", "parameter")
    return {"senders": senders.with_columns(cure=pl.format(_CURE, "parameter"))}


def _say(whole: Whole, found: Found) -> list[str]:
    if not whole.counts["lead_by_default"]:
        return ["No positive value became a Lead for want of a type."]
    first = found["senders"].row(0, named=True)
    return [
        (
            f"{plural(whole.counts['lead_by_default'], 'positive value')} became a Lead"
            f"{whole.worth('lead_by_default')}: no conversion_type and no event_name were sent with"
            f" {'it' if whole.counts['lead_by_default'] == 1 else 'them'}."
        ),
        (
            f"Most come from {first['sender']} of {first['integration']}, as {first['parameter']}:"
            f" {first['conversions']:,}."
        ),
        (
            "A type cures it: conversion_type=purchase, or event_name for anything else. Where the sender cannot"
            " change, the value sent as commission becomes a Purchase."
        ),
    ]


ANSWER: Final = Answer(
    key="lead_trap",
    title="The Lead trap",
    question="Which sales were recorded as Leads, and what would cure it?",
    base="conversions",
    measures=("conversions", "lead_by_default"),
    find=find_traps,
    sheets=(
        Sheet(
            "senders",
            "By sender and parameter",
            Chart("bars", ("integration", "sender", "parameter"), ("conversions",), "values that became Leads"),
        ),
    ),
    days_chart=("lead_by_default",),
    says=_say,
    unknown="Whether such a value was a sale indeed: a Lead may have a price.",
)
