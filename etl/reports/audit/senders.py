"""Answer 12: a scorecard by sender."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.measures import JUNK_KEYS
from etl.reports.audit.question import Answer, Found, Sheet, Whole, plural, share_text
from etl.reports.audit.tables import IS_SUMMABLE, WHOSE, Frames, amounts, has_key_issue, sender_family
from etl.runner.published_tables import read

_SENDER: Final = (*WHOSE, "sender")
_FAILED: Final = (pl.col("http_status") >= 400).fill_null(value=False)


def find_senders(frames: Frames) -> Found:
    """scorecard: one row an account, integration and user agent family, the busiest first.

    accepted is the share of postbacks that the endpoint takes (duplicates too), clicks that of conversions matched by
    click_id, sound that of conversions whose key is no junk, repeated that of accepted ones that repeat another.
    """
    counts = ["conversions", "rejections", "clicks", "sound", "repeated", "failed"]
    by_sender = (
        _count_senders(frames)
        .group_by(*_SENDER, "currency")
        .agg(pl.col(*counts, "value").sum())
        .sort("currency")
        .group_by(_SENDER, maintain_order=True)
        .agg(pl.col(counts).sum(), money=amounts(pl.col("value")))
    )
    postbacks = pl.col("conversions") + pl.col("rejections")
    accepted = pl.col("conversions") + pl.col("repeated")
    scorecard = by_sender.select(
        *_SENDER,
        "conversions",
        "money",
        postbacks=postbacks,
        accepted=_share(accepted, postbacks),
        clicks=_share(pl.col("clicks"), pl.col("conversions")),
        sound=_share(pl.col("sound"), pl.col("conversions")),
        repeated=_share(pl.col("repeated"), accepted),
        failed=_share(pl.col("failed"), postbacks),
    ).select(*_SENDER, "postbacks", "conversions", "accepted", "clicks", "sound", "repeated", "failed", "money")
    return {"scorecard": scorecard.sort("postbacks", *_SENDER, descending=[True, False, False, False])}


def _count_senders(frames: Frames) -> pl.DataFrame:
    """One row a sender, currency and table: its counts, and the sum of its values."""
    is_junk = has_key_issue(*(code for code, _, _ in JUNK_KEYS))
    conversions = frames.conversions.group_by(*WHOSE, sender_family(), "currency").agg(
        pl.len().cast(pl.Int64).alias("conversions"),
        clicks=(pl.col("match_type") == "click_id").sum().cast(pl.Int64),
        sound=(~is_junk).sum().cast(pl.Int64),
        failed=_FAILED.sum().cast(pl.Int64),
        value=pl.col("value").filter(IS_SUMMABLE).sum(),
    )
    rejections = frames.rejections.group_by(*WHOSE, sender_family(), "currency").agg(
        pl.len().cast(pl.Int64).alias("rejections"),
        repeated=(pl.col("reason") == "duplicate_transaction").sum().cast(pl.Int64),
        failed=_FAILED.sum().cast(pl.Int64),
    )
    return pl.concat([read(conversions), read(rejections)], how="diagonal")


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)


def _say(whole: Whole, found: Found) -> list[str]:
    senders = found["scorecard"]
    if not senders.height:
        return ["The tables hold no postbacks."]
    first = senders.row(0, named=True)
    worst = senders.filter(pl.col("postbacks") >= 20).sort("accepted", "postbacks", descending=[False, True]).head(1)
    sentences = [
        (
            f"{plural(senders.height, 'sender')} (integration and user agent); the busiest is {first['sender']} of"
            f" {first['integration'] or 'no integration'} with {plural(first['postbacks'], 'postback')}."
        ),
    ]
    sentences += [
        f"The least accepted is {row['sender']} of {row['integration'] or 'no integration'}: "
        f"{share_text(round(row['accepted'] * row['postbacks']), row['postbacks'])} of its postbacks."
        for row in worst.iter_rows(named=True)
    ]
    return sentences


ANSWER: Final = Answer(
    key="senders",
    title="Senders",
    question="How does each sender do?",
    base="postbacks",
    measures=("postbacks", "conversions", "rejections"),
    find=find_senders,
    sheets=(Sheet("scorecard", "Scorecard"),),
    days_chart=(),
    says=_say,
    unknown="A sender is an integration and the program that its user agent names; bare payloads have none.",
)
