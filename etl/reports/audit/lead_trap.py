"""Answer 3: counts positive values that became a Lead because no type was sent (rules 5.3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.question import Answer, Chart, Findings, Sheet, Totals, share_of_origin
from etl.reports.audit.tables import INTEGRATION_KEYS, Frames, count_rows, has_issue, sender_family

_CURE: Final = "send conversion_type=purchase with {}, or send the value as commission"


def find_traps(frames: Frames) -> Findings:
    """Finds the senders of such values, and what they should send instead.

    Returns:
        `senders`: one row per account, integration, sender and parameter.
    """
    trapped = frames.conversions.filter(has_issue("lead_by_default")).with_columns(
        sender_family(), parameter="value_param"
    )
    senders = count_rows(trapped, *INTEGRATION_KEYS, "sender", "parameter")
    return {"senders": senders.with_columns(cure=pl.format(_CURE, "parameter"))}


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    if not totals.counts["lead_by_default"]:
        return ["No positive value became a Lead because its type was missing."]
    first = findings["senders"].row(0, named=True)
    trapped = totals.counts["lead_by_default"]
    return [
        (
            f"{plural(trapped, 'positive value')} became a Lead{totals.worth('lead_by_default')}: no conversion_type"
            f" and no event_name were sent with {'it' if trapped == 1 else 'them'}."
            f" {share_of_origin(first['conversions'], trapped)} from integration {first['integration'] or '(none)'},"
            f" sent by {first['sender']}, in the parameter {first['parameter']}."
        ),
    ]


ANSWER: Final = Answer(
    key="lead_trap",
    title="The Lead trap",
    question="Which sales were recorded as Leads, and how can senders fix it?",
    base="conversions",
    measures=("conversions", "lead_by_default"),
    find=find_traps,
    sheets=(
        Sheet(
            "senders",
            "By sender and parameter",
            Chart(
                "bars",
                ("integration", "sender", "parameter"),
                ("conversions",),
                "values that became Leads",
                "lead_by_default",
            ),
        ),
    ),
    days_chart=("lead_by_default",),
    summarise=_summarise,
    unknown="The tables do not show whether such a value was a sale: a Lead may have a price.",
    losses=("lead_by_default",),
    cure="Send conversion_type=purchase, or event_name for another event. A value sent as commission needs no type.",
)
