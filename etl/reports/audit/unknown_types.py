"""Answer 4: counts unknown conversion types, with the type that was probably meant (rules 5.2)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.columnar.factorize import map_distinct
from etl.errors import plural
from etl.reports.audit.question import Answer, Chart, Findings, Sheet, Totals
from etl.reports.audit.tables import INTEGRATION_KEYS, Frames, count_rows
from etl.steps.rejections import suggest_type

_LONGEST: Final = 100

#: How many types the first sentence names, and how many characters of each.
_NAMED: Final = 2
_LONGEST_NAMED: Final = 40


def find_unknown_types(frames: Frames) -> Findings:
    """Finds unknown conversion types, and which integrations sent them.

    Returns:
        `types`: one row per conversion_type. `senders`: one row per account, integration and conversion_type.
        `reasons`: one row per reason, the first of a rejection.
    """
    unknown = frames.rejections.filter(pl.col("reasons").list.contains("unknown_conversion_type")).with_columns(
        pl.col("conversion_type").str.slice(0, _LONGEST)
    )
    types = count_rows(unknown, "conversion_type", count="rejections")
    events = dict(frames.ruleset.events)
    correction = map_distinct(types["conversion_type"], lambda text: suggest_type(text, frames.ruleset))
    meant = correction.str.extract("'(.*)'")
    return {
        "types": types.with_columns(
            correction=correction.fill_null("no known type is close: map it in a ruleset, or send event_name"),
            event=map_distinct(meant, events.get),
        ),
        "reasons": count_rows(unknown, "reason", count="rejections"),
        "senders": count_rows(unknown, *INTEGRATION_KEYS, "conversion_type", count="rejections"),
    }


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    if not totals.counts["unknown_type"]:
        return ["Every conversion_type that was sent is known."]
    types = findings["types"]
    first = types.row(0, named=True)
    reasons = dict(findings["reasons"].select("reason", "rejections").iter_rows())
    elsewhere = [f"{reason} ({count:,})" for reason, count in reasons.items() if reason != "unknown_conversion_type"]
    curable = int(types.filter(pl.col("event").is_not_null())["rejections"].sum())
    count = totals.counts["unknown_type"]
    whom = "it" if count == 1 else "them"
    named = ", ".join(repr(name[:_LONGEST_NAMED]) for name in types["conversion_type"].head(_NAMED).fill_null(""))
    sentences = [
        (
            f"{plural(count, 'postback was', 'postbacks were')} rejected because of"
            f" {plural(types.height, 'unknown conversion_type')}"
            f" ({named}{'' if types.height <= _NAMED else ' and others'})"
            f"{totals.worth('unknown_type') or f', and no amount is known of {whom}'}.{totals.origin}"
        ),
        f"The most frequent is {first['conversion_type']!r}: {first['rejections']:,}; {first['correction']}.",
        f"The type that was meant is clear for {curable:,} of them.",
    ]
    if elsewhere:
        sentences.append(
            f"The funnel counts {reasons.get('unknown_conversion_type', 0):,} of them as unknown_conversion_type, the"
            f" others under the reason that comes first: {', '.join(elsewhere)}."
        )
    return sentences


ANSWER: Final = Answer(
    key="unknown_types",
    title="Unknown conversion types",
    question="Which conversion types are unknown, and which types were probably meant?",
    base="postbacks",
    measures=("postbacks", "unknown_type"),
    find=find_unknown_types,
    sheets=(
        Sheet(
            "types",
            "By type",
            Chart(
                "bars", ("conversion_type",), ("rejections",), "postbacks rejected with an unknown type", "unknown_type"
            ),
        ),
        Sheet("senders", "By integration"),
    ),
    days_chart=("unknown_type",),
    summarise=_summarise,
    losses=("unknown_type",),
    cure="Send a conversion_type of the endpoint's page, or map yours in a ruleset.",
)
