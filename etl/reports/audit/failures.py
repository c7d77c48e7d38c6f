"""Answer 10: requests that the server did not answer well, and whether a later try did better."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.measures import KEYS, Measure
from etl.reports.audit.question import Answer, Chart, Found, Sheet, Whole, plural
from etl.reports.audit.tables import IS_SUMMABLE, WHOSE, Frames, amounts
from etl.runner.published_tables import read
from etl.transform import placeholders

#: What became of a request that failed: column, what it is.
OUTCOMES: Final = (
    ("tried_again", "failed, and a later try succeeded"),
    ("succeeded_before", "failed, when an earlier try had succeeded"),
    ("never_succeeded", "failed, and no other try succeeded"),
    ("cannot_be_told", "failed, with nothing to know another try by"),
)

MEASURES: Final = (
    Measure("failed", "answered with 4xx, 5xx or 499", "failures", None),
    *(Measure(name, title, "failures", None, has_money=True) for name, title in OUTCOMES),
)
_NAMES: Final = [name for name, _ in OUTCOMES]

_FAILED: Final = pl.col("http_status") >= 400


def find_failures(frames: Frames) -> Found:
    """outcomes: one row a class of answers; statuses: one row an integration and status; and the measures by day."""
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
        "statuses": _by_outcome(failures, *WHOSE, "http_status").sort(
            "failed", *WHOSE, "http_status", descending=[True, False, False, False]
        ),
        "days": failures.group_by(KEYS).agg(
            pl.col("requests").sum().alias("failed"),
            *(_requests(name) for name in _NAMES),
            *(pl.col("value").filter(pl.col("outcome") == name).sum().alias(f"{name}_money") for name in _NAMES),
        ),
    }


def _failures(frames: Frames) -> pl.DataFrame:
    """`KEYS`, http_status, outcome, requests, value: failed requests counted; a value counts once for all its tries.

    Two requests are tries of one if they carry the same transaction_id, or, without one, the same match key and value.
    """
    columns = [*KEYS, "received_at", "http_status", "transaction_id", "match_key", "value"]
    tries = pl.concat([frames.conversions.select(columns), frames.rejections.select(columns)]).with_columns(
        same=_same()
    )
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
        .group_by(*KEYS, "http_status", "outcome")
        .agg(
            pl.len().cast(pl.Int64).alias("requests"),
            value=pl.col("value").filter(IS_SUMMABLE & is_first).sum(),
        )
    )


def _same() -> pl.Expr:
    """A hash that the tries of one conversion share; null where nothing tells."""
    ids = pl.col("transaction_id").map_batches(_sound_ids, return_dtype=pl.String, is_elementwise=True)
    by_id = pl.struct(*WHOSE, pl.lit("id").alias("by"), ids.alias("what")).hash(seed=0)
    by_key = pl.struct(*WHOSE, pl.lit("key").alias("by"), pl.col("match_key").alias("what"), "value").hash(seed=0)
    return pl.when(ids.is_not_null()).then(by_id).when(pl.col("match_key").is_not_null()).then(by_key)


def _sound_ids(ids: pl.Series) -> pl.Series:
    return ids.str.strip_chars().set(placeholders.is_macro(ids) | placeholders.is_null_word(ids), None)


def _requests(name: str) -> pl.Expr:
    return pl.col("requests").filter(pl.col("outcome") == name).sum().alias(name)


def _by_outcome(failures: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """The keys, failed, a count of each outcome, lost (money of those that never succeeded)."""
    is_lost = pl.col("outcome") == "never_succeeded"
    return (
        failures.group_by(*keys, "currency")
        .agg(
            pl.col("requests").sum().alias("failed"),
            *(_requests(name) for name in _NAMES),
            value=pl.col("value").filter(is_lost).sum(),
        )
        .sort("currency")
        .group_by(keys, maintain_order=True)
        .agg(pl.col("failed", *_NAMES).sum(), lost=amounts(pl.col("value")))
    )


def _say(whole: Whole, found: Found) -> list[str]:
    if not whole.counts["failed"]:
        return ["No postback was answered with 4xx, 5xx or 499."]
    return [
        (
            f"{plural(whole.counts['failed'], 'postback was', 'postbacks were')} answered with 4xx, 5xx or 499"
            f" ({whole.share('failed', 'postbacks')})."
        ),
        (
            f"{whole.n('tried_again')} of them succeeded at a later try, {whole.n('succeeded_before')} had succeeded,"
            f" {whole.n('never_succeeded')} never did{whole.worth('never_succeeded')};"
            f" {whole.n('cannot_be_told')} carry nothing to know another try by."
        ),
    ]


ANSWER: Final = Answer(
    key="failures",
    title="Failed requests",
    question="Which postbacks did the server not answer well, and did a later try succeed?",
    base="postbacks",
    measures=("postbacks", "failed", *_NAMES),
    find=find_failures,
    sheets=(
        Sheet(
            "outcomes",
            "What became of them",
            Chart("bars", ("answer",), tuple(_NAMES), "failed requests by answer and outcome"),
        ),
        Sheet("statuses", "By integration and status"),
    ),
    days_chart=tuple(_NAMES),
    says=_say,
    unknown=(
        "These tables count a failed request as what its parameters say, whatever the answer was. Bare payloads have no"
        " status. Tries are known by transaction_id, or by match key and value."
    ),
)
