"""Answer 12: compares senders in a scorecard."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.measures import JUNK_KEYS
from etl.reports.audit.question import Answer, Findings, Sheet, Totals, share_text
from etl.reports.audit.tables import INTEGRATION_KEYS, IS_SUMMABLE, Frames, has_key_issue, sender_family, sum_money
from etl.runner.published_tables import read

_SENDER: Final = (*INTEGRATION_KEYS, "sender")
_FAILED: Final = (pl.col("http_status") >= 400).fill_null(value=False)


def find_senders(frames: Frames) -> Findings:
    """Finds the scorecard: one row per account, integration and family of user agents, most postbacks first.

    `accepted` and `failed` are shares of the postbacks: accepted by the endpoint (duplicates included), and answered
    with an error. `clicks` and `sound` are shares of the conversions: matched by click_id, and with a match key that is
    not junk. `repeated` is the share of duplicates among the accepted postbacks.
    """
    counts = ["conversions", "rejections", "clicks", "sound", "repeated", "failed"]
    by_sender = sum_money(_count_senders(frames), *_SENDER, counts=counts).rename({"value": "money"})
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
    """Counts conversions and rejections, and sums the values of conversions, by sender, currency, event and table."""
    is_junk = has_key_issue(*(code for code, _, _ in JUNK_KEYS))
    conversions = frames.conversions.group_by(*INTEGRATION_KEYS, sender_family(), "currency", "event").agg(
        pl.len().cast(pl.Int64).alias("conversions"),
        clicks=(pl.col("match_type") == "click_id").sum().cast(pl.Int64),
        sound=(~is_junk).sum().cast(pl.Int64),
        failed=_FAILED.sum().cast(pl.Int64),
        value=pl.col("value").filter(IS_SUMMABLE).sum(),
    )
    rejections = frames.rejections.group_by(*INTEGRATION_KEYS, sender_family(), "currency", "event").agg(
        pl.len().cast(pl.Int64).alias("rejections"),
        repeated=(pl.col("reason") == "duplicate_transaction").sum().cast(pl.Int64),
        failed=_FAILED.sum().cast(pl.Int64),
    )
    return pl.concat([read(conversions), read(rejections)], how="diagonal")


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """Divides a part by its whole; null if the whole is zero."""
    return pl.when(whole > 0).then(part / whole)


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    senders = findings["scorecard"]
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
        f"The share of accepted postbacks is lowest for {row['sender']} of {row['integration'] or 'no integration'}:"
        f" {share_text(round(row['accepted'] * row['postbacks']), row['postbacks'])}."
        for row in worst.iter_rows(named=True)
    ]
    return sentences


ANSWER: Final = Answer(
    key="senders",
    title="Senders",
    question="How good are the postbacks of each sender?",
    base="postbacks",
    measures=("postbacks", "conversions", "rejections"),
    find=find_senders,
    sheets=(Sheet("scorecard", "Scorecard"),),
    days_chart=(),
    summarise=_summarise,
    unknown="A sender is an integration and the program that a user agent names. Bare payloads have no user agent.",
)
