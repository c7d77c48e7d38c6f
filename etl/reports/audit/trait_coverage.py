"""Answer 11: which customer traits were sent, hashed too early, and which passthroughs were dropped (rules 7)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.measures import TRAITS, was_sent
from etl.reports.audit.question import Answer, Chart, Found, Sheet, Whole, plural
from etl.reports.audit.tables import WHOSE, Frames, counted, with_issues
from etl.rules import page
from etl.runner.published_tables import read

_NAMES: Final = tuple(f"with_{name}" for name in TRAITS)


def find_traits(frames: Frames) -> Found:
    """coverage: one row a trait; prehashed: one row an integration and trait; dropped: one row a passthrough."""
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
        "prehashed": counted(
            with_issues(frames.conversions, "prehashed_trait").rename({"parameter": "trait"}), *WHOSE, "trait"
        ).drop("money"),
        "dropped": read(dropped)
        .with_columns(pl.lit(page.PASSTHROUGH_PREFIX) + pl.col("name"))
        .sort("times", "name", descending=[True, False]),
    }


def _say(whole: Whole, found: Found) -> list[str]:
    coverage = found["coverage"]
    if not coverage["conversions"].sum():
        return ["No trait is in the tables: none was sent, or the run dropped them (--pii drop)."]
    best, least = coverage.row(0, named=True), coverage.row(-1, named=True)
    sentences = [
        (
            f"E-mail stands in {whole.share('with_email', 'conversions')} of the conversions, phone in"
            f" {whole.share('with_phone', 'conversions')}; most often sent is {best['trait']}, least {least['trait']}."
        ),
        "Every trait that is sent raises the match quality of those that lack it; e-mail and phone raise it most.",
    ]
    if whole.counts["prehashed_trait"]:
        sentences.append(
            f"{plural(whole.counts['prehashed_trait'], 'conversion')} sent hashes where the page asks for raw values."
        )
    if found["dropped"].height:
        first = found["dropped"].row(0, named=True)
        sentences.append(
            f"{plural(whole.counts['passthrough_dropped'], 'conversion')} sent more than"
            f" {page.PASSTHROUGH_LIMIT} passthroughs; dropped most is {first['name']}:"
            f" {plural(first['times'], 'time')}."
        )
    return sentences


ANSWER: Final = Answer(
    key="traits",
    title="Customer traits",
    question="Which traits are sent, and what would raise the match quality?",
    base="conversions",
    measures=("conversions", *_NAMES, "prehashed_trait", "passthrough_dropped"),
    find=find_traits,
    sheets=(
        Sheet("coverage", "Coverage", Chart("bars", ("trait",), ("conversions",), "conversions with each trait")),
        Sheet("prehashed", "Hashed before they were sent"),
        Sheet("dropped", "Passthroughs dropped past the fifth, by name"),
    ),
    days_chart=(),
    says=_say,
    unknown="With --pii drop the tables hold no traits. A hash says that a trait was sent, not that it is right.",
)
