"""Answer 10: counts requests that the server answered with an error, and whether another try succeeded."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.measures import DAY_KEYS, Measure
from etl.reports.audit.question import Answer, Chart, Findings, Sheet, Totals
from etl.reports.audit.tables import INTEGRATION_KEYS, IS_SUMMABLE, Frames, sum_money
from etl.rules import placeholders
from etl.runner.published_tables import read

#: Outcomes of a failed request: column and title.
OUTCOMES: Final = (
    ("tried_again", "failed, and a later try succeeded"),
    ("succeeded_before", "failed, but an earlier try had succeeded"),
    ("never_succeeded", "failed, and no other try succeeded"),
    ("cannot_be_told", "failed, and other tries cannot be recognised"),
)

MEASURES: Final = (
    Measure("failed", "answered with 4xx, 5xx or 499", "failures", None),
    *(Measure(name, title, "failures", None, has_money=True) for name, title in OUTCOMES),
)
_NAMES: Final = [name for name, _ in OUTCOMES]

_FAILED: Final = pl.col("http_status") >= 400


def find_failures(frames: Frames) -> Findings:
    """Finds failed requests and their outcomes.

    Returns:
        `outcomes`: one row per class of status. `statuses`: one row per integration and status. `days`: the measures
        of this module. `examples`: ids of requests that never succeeded.
    """
    failures = _failures(frames)
    answer = (
        pl.when(pl.col("http_status") == 499)
        .then(pl.lit("499 (gone before the answer)"))
        .when(pl.col("http_status") < 500)
        .then(pl.lit("4xx"))
        .otherwise(pl.lit("5xx"))
    )
    return {
        "outcomes": _by_outcome(failures.with_columns(answer=answer), "answer").sort("answer"),
        "statuses": _by_outcome(failures, *INTEGRATION_KEYS, "http_status").sort(
            "failed", *INTEGRATION_KEYS, "http_status", descending=[True, False, False, False]
        ),
        "examples": failures.filter(pl.col("outcome") == "never_succeeded").select("example"),
        "days": failures.group_by(DAY_KEYS).agg(
            pl.col("requests").sum().alias("failed"),
            *(_count_outcome(name) for name in _NAMES),
            *(pl.col("value").filter(pl.col("outcome") == name).sum().alias(f"{name}_money") for name in _NAMES),
        ),
    }


def _failures(frames: Frames) -> pl.DataFrame:
    """Counts failed requests by outcome.

    Two requests are tries of one postback if they have the same transaction_id or, without a transaction_id, the same
    match key and value.

    Returns:
        `DAY_KEYS`, http_status, outcome, requests, example (the lowest id), and value. A postback's value counts at its
        first failed try only.
    """
    columns = [*DAY_KEYS, "received_at", "http_status", "transaction_id", "match_key", "value"]
    both = (
        frames.conversions.select(*columns, id="conversion_id"),
        frames.rejections.select(*columns, id="rejection_id"),
    )
    tries = pl.concat(both).with_columns(same=_try_hash())
    failed = tries.filter(_FAILED)
    by_key = failed.drop_nulls("same").group_by("same").agg(first_at=pl.col("received_at").min())
    served = (
        tries.filter(~_FAILED)
        .drop_nulls("same")
        .join(by_key, on="same", how="semi")
        .group_by("same")
        .agg(served_at=pl.col("received_at").max())
    )
    is_known = pl.col("same").is_not_null() & pl.col("received_at").is_not_null()
    outcome = (
        pl.when(~is_known)
        .then(pl.lit("cannot_be_told"))
        .when(pl.col("served_at") > pl.col("received_at"))
        .then(pl.lit("tried_again"))
        .when(pl.col("served_at").is_not_null())
        .then(pl.lit("succeeded_before"))
        .otherwise(pl.lit("never_succeeded"))
    )
    is_first = (pl.col("received_at") == pl.col("first_at")).fill_null(value=True)
    return read(
        failed.join(by_key, on="same", how="left")
        .join(served, on="same", how="left")
        .with_columns(outcome=outcome)
        .group_by(*DAY_KEYS, "http_status", "outcome")
        .agg(
            pl.len().cast(pl.Int64).alias("requests"),
            example=pl.col("id").min(),
            value=pl.col("value").filter(IS_SUMMABLE & is_first).sum(),
        )
    )


def _try_hash() -> pl.Expr:
    """Hashes what the tries of one postback share; null if it has neither a transaction id nor a match key."""
    ids = pl.col("transaction_id").map_batches(usable_ids, return_dtype=pl.String, is_elementwise=True)
    by_id = pl.struct(*INTEGRATION_KEYS, pl.lit("id").alias("kind"), ids.alias("key")).hash(seed=0)
    by_key = pl.struct(*INTEGRATION_KEYS, pl.lit("key").alias("kind"), pl.col("match_key").alias("key"), "value").hash(
        seed=0
    )
    return pl.when(ids.is_not_null()).then(by_id).when(pl.col("match_key").is_not_null()).then(by_key)


def usable_ids(ids: pl.Series) -> pl.Series:
    """Trims transaction ids; macros, placeholder words and null words become null."""
    return ids.str.strip_chars().set(placeholders.is_junk_id(ids), None)


def _count_outcome(name: str) -> pl.Expr:
    """Sums the requests that have an outcome."""
    return pl.col("requests").filter(pl.col("outcome") == name).sum().alias(name)


def _by_outcome(failures: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Sums failed requests by keys.

    Returns:
        The keys, failed, a count of each outcome, and lost (money of requests that never succeeded).
    """
    is_lost = pl.col("outcome") == "never_succeeded"
    sums = failures.group_by(*keys, "currency", "event").agg(
        pl.col("requests").sum().alias("failed"),
        *(_count_outcome(name) for name in _NAMES),
        value=pl.col("value").filter(is_lost).sum(),
    )
    return sum_money(sums, *keys, counts=("failed", *_NAMES)).rename({"value": "lost"})


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    if not totals.counts["failed"]:
        return ["No postback was answered with 4xx, 5xx or 499."]
    return [
        (
            f"{plural(totals.counts['failed'], 'postback was', 'postbacks were')} answered with 4xx, 5xx or 499"
            f" ({totals.share('failed', 'postbacks')}), and {totals.count_text('never_succeeded')} of them never"
            f" succeeded{totals.worth('never_succeeded')}.{totals.origin}"
        ),
        *(
            says.format(totals.count_text(name))
            for name, says in (
                ("tried_again", "{} succeeded at a later try."),
                ("succeeded_before", "{} had succeeded at an earlier try."),
                ("cannot_be_told", "Other tries of {} cannot be recognised."),
            )
            if totals.counts[name]
        ),
    ]


ANSWER: Final = Answer(
    key="failures",
    title="Failed requests",
    question="Which postbacks did the server answer with an error, and did a later try succeed?",
    base="postbacks",
    measures=("postbacks", "failed", *_NAMES),
    find=find_failures,
    sheets=(
        Sheet(
            "outcomes",
            "Outcomes",
            Chart("bars", ("answer",), tuple(_NAMES), "failed requests by answer and outcome"),
        ),
        Sheet("statuses", "By integration and status"),
    ),
    days_chart=tuple(_NAMES),
    summarise=_summarise,
    unknown=(
        "The tables hold failed requests as conversions and rejections like any others. Bare payloads have no status."
        " Tries of one postback are recognised by transaction_id, or by match key and value."
    ),
    losses=("never_succeeded",),
    cure="Send failed postbacks again, with the same transaction_id.",
)
