"""Answer 11: counts customer traits that were sent or hashed by the sender, and dropped passthroughs (rules 7)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.measures import TRAITS, was_sent
from etl.reports.audit.question import Answer, Chart, Findings, Sheet, Totals
from etl.reports.audit.tables import INTEGRATION_KEYS, Frames, count_rows, with_issues
from etl.rules import page
from etl.runner.published_tables import read

_NAMES: Final = tuple(f"with_{name}" for name in TRAITS)


def find_traits(frames: Frames) -> Findings:
    """Finds how often each trait was sent, traits that the sender hashed, and dropped passthroughs.

    Returns:
        `coverage`: one row per trait. `prehashed`: one row per integration and trait. `dropped`: one row per name of a
        passthrough.
    """
    dropped = frames.passthroughs.filter(~pl.col("stored")).group_by("name").agg(pl.len().cast(pl.Int64).alias("times"))
    sent = frames.conversions.select(
        pl.len().alias("conversions"),
        *(was_sent(name).sum().alias(name) for name in TRAITS),
    )
    counts = read(sent).row(0, named=True)
    all_of = counts.pop("conversions")
    coverage = pl.DataFrame(
        [(name, count, count / all_of if all_of else None) for name, count in counts.items()],
        schema={"trait": pl.String(), "conversions": pl.Int64(), "share": pl.Float64()},
        orient="row",
    )
    return {
        "coverage": coverage.sort("conversions", "trait", descending=[True, False]),
        "prehashed": count_rows(
            with_issues(frames.conversions, "prehashed_trait").rename({"parameter": "trait"}),
            *INTEGRATION_KEYS,
            "trait",
        ).drop("money"),
        "dropped": read(dropped)
        .with_columns(pl.lit(page.PASSTHROUGH_PREFIX) + pl.col("name"))
        .sort("times", "name", descending=[True, False]),
    }


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    coverage = findings["coverage"]
    if not coverage["conversions"].sum():
        return ["The tables hold no traits: no trait was sent, or the run dropped them (--pii drop)."]
    best, least = coverage.row(0, named=True), coverage.row(-1, named=True)
    sentences = []
    if totals.counts["prehashed_trait"]:
        sentences.append(
            f"{plural(totals.counts['prehashed_trait'], 'conversion')} sent hashes; the endpoint's page asks for raw"
            f" values.{totals.origin}"
        )
    if findings["dropped"].height:
        first = findings["dropped"].row(0, named=True)
        sentences.append(
            f"{plural(totals.counts['passthrough_dropped'], 'conversion')} sent more than"
            f" {page.PASSTHROUGH_LIMIT} passthroughs; {first['name']} was dropped most often:"
            f" {plural(first['times'], 'time')}."
        )
    return [
        *sentences,
        (
            f"{totals.share('with_email', 'conversions')} of the conversions have an e-mail address,"
            f" {totals.share('with_phone', 'conversions')} a phone number. The most frequent trait is {best['trait']},"
            f" the least frequent {least['trait']}."
        ),
        "Each trait that is added raises the match quality; e-mail and phone raise it most.",
    ]


ANSWER: Final = Answer(
    key="traits",
    title="Customer traits",
    question="Which traits are sent, and what would raise the match quality?",
    base="conversions",
    measures=("conversions", *_NAMES, "prehashed_trait", "passthrough_dropped"),
    find=find_traits,
    sheets=(
        Sheet("coverage", "Coverage", Chart("bars", ("trait",), ("conversions",), "conversions with each trait")),
        Sheet("prehashed", "Traits hashed by the sender"),
        Sheet("dropped", "Passthroughs dropped after the fifth, by name"),
    ),
    days_chart=(),
    summarise=_summarise,
    unknown="With --pii drop the tables hold no traits. A hash shows that a trait was sent, not that it is correct.",
    losses=("prehashed_trait", "passthrough_dropped"),
    cure="Send traits as they are, and at most five passthroughs.",
)
