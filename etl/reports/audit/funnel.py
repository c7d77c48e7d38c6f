"""Answer 1: counts records on their way to conversions, and where they are lost."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.question import Answer, Chart, Findings, Sheet, Totals
from etl.reports.audit.tables import Frames, count_rows
from etl.rules import page

#: Reasons to skip a record that holds no request at all.
_NO_REQUEST: Final = ("blank", "comment", "header", "not_a_request")
_REASONS: Final = tuple(reason.code for reason in page.REJECTIONS)
#: Reasons of postbacks that no rule judged.
_UNJUDGED: Final = ("malformed_body", "body_not_logged", "unread_postback")
_LOSSES: Final = ("malformed_record", *_UNJUDGED, "missing_identity")
_STAGES: Final = pl.Schema({"stage": pl.String(), "count": pl.Int64(), "lost": pl.Int64(), "lost_as": pl.String()})


def find_funnel(frames: Frames) -> Findings:
    """Finds how many records are left at each stage, and skipped records by reason, from the run's manifest.

    Returns:
        `stages`: one row per stage. `skipped`: one row per reason. Both are counts of the whole run.
    """
    manifest = frames.manifest
    skipped, rejected = manifest["skipped"]["by_reason"], manifest["rejections"]["by_reason"]
    unread = {reason: count for reason, count in skipped.items() if reason in _NO_REQUEST}
    unread |= {reason: count for reason, count in rejected.items() if reason == "malformed_record"}
    other = {reason: count for reason, count in skipped.items() if reason not in _NO_REQUEST}
    unjudged = {reason: count for reason, count in rejected.items() if reason in _UNJUDGED}
    refused = {
        reason: rejected[reason] for reason in ("missing_identity", "unknown_conversion_type") if reason in rejected
    }
    repeated = {reason: count for reason, count in rejected.items() if reason == "duplicate_transaction"}
    left = manifest["records"]
    rows: list[dict[str, Any]] = []
    for stage, lost in (
        ("records", unread),
        ("requests", other),
        ("postbacks", unjudged),
        ("with parameters", refused),
        ("accepted", repeated),
        ("conversions", {}),
    ):
        named = ", ".join(f"{reason} {count:,}" for reason, count in lost.items())
        rows.append({"stage": stage, "count": left, "lost": sum(lost.values()), "lost_as": named or None})
        left -= sum(lost.values())
    reasons = {reason.code: reason.message for reason in page.SKIPS}
    return {
        "events": count_rows(frames.conversions, "event"),
        "stages": pl.DataFrame(rows, schema=_STAGES),
        "skipped": pl.DataFrame(
            [(reason, reasons.get(reason), count) for reason, count in sorted(skipped.items(), key=lambda i: -i[1])],
            schema={"reason": pl.String(), "what": pl.String(), "records": pl.Int64()},
            orient="row",
        ),
    }


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    counts = dict(findings["stages"].select("stage", "count").iter_rows())
    rejections = {reason: totals.counts[reason] for reason in _REASONS if totals.counts[reason]}
    lost = [f"{reason} {totals.count_text(reason)}{totals.worth(reason)}" for reason in _LOSSES if reason in rejections]
    count = sum(totals.counts[reason] for reason in _LOSSES)
    sentences = [
        *([f"{plural(count, 'record is', 'records are')} lost: {'; '.join(lost)}."] if count else []),
        (
            f"Of {counts['records']:,} records {counts['postbacks']:,} are postbacks, and {counts['conversions']:,} of"
            f" these became conversions{totals.worth('conversions')}."
        ),
        f"{plural(totals.counts['rejections'], 'record was', 'records were')} rejected{totals.worth('rejections')}.",
    ]
    if rejections:
        worst = max(rejections, key=lambda reason: rejections[reason])
        sentences.append(
            f"The most frequent reason is {worst}: {plural(rejections[worst], 'rejection')}{totals.worth(worst)}."
        )
    return sentences


ANSWER: Final = Answer(
    key="funnel",
    title="The funnel",
    question="How many requests become conversions, and where are the rest lost?",
    base="postbacks",
    measures=("postbacks", "conversions", "rejections", *_REASONS),
    find=find_funnel,
    sheets=(
        Sheet("stages", "From records to conversions", Chart("bars", ("stage",), ("count",), "records left, by stage")),
        Sheet("events", "Conversions and money by event"),
        Sheet("skipped", "Records skipped before they were judged"),
    ),
    days_chart=("conversions", *_REASONS),
    summarise=_summarise,
    unknown=(
        "Skipped records are counted for the whole run only. Malformed records, and records whose body was not logged,"
        " have no known value."
    ),
    losses=_LOSSES,
    cure="Send click_id, ref_id or email with every postback, and log bodies. `explain` shows what a record lacks.",
)
