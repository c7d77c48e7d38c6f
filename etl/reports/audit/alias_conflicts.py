"""Answer 6: counts fields that were sent several values, and what the other `alias_order` changes (rules 2.2, 2.3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.errors import plural
from etl.reports.audit.measures import DAY_KEYS, Measure
from etl.reports.audit.question import Answer, Findings, Sheet, Totals
from etl.reports.audit.tables import INTEGRATION_KEYS, Frames, count_rows, with_issues
from etl.rules.parameter_names import meaning_of
from etl.rules.ruleset import Ruleset
from etl.runner.published_tables import read

MEASURES: Final = (
    Measure(
        "other_order",
        "with a value that the other alias_order can change (at most)",
        "alias_conflicts",
        None,
        has_money=True,
    ),
)

#: Values of the column `other_order`.
CHANGES, MAY_CHANGE, SAME = "changes", "may change", "stays"


def find_conflicts(frames: Frames) -> Findings:
    """Finds fields that were sent several different values, and what the other alias_order would do with each.

    Returns:
        `conflicts`: one row per account, integration, field, winner and losers. `days`: the conversions with at least
        one field that the other order changes or may change. `examples`: ids of such conversions.
    """
    issues = with_issues(frames.conversions, "alias_conflict").rename({"parameter": "field"})
    conflicts = count_rows(issues, *INTEGRATION_KEYS, "field", "detail")
    named = conflicts["detail"].str.extract_groups("^(?s)(?<winner>.*?) over (?<losers>.*)$").struct.unnest()
    conflicts = pl.concat([conflicts, named], how="horizontal")
    verdict = pl.Series(
        "other_order",
        [under_other_order(winner, losers, frames.ruleset) for winner, losers in named.iter_rows()],
        dtype=pl.String,
    )
    conflicts = conflicts.with_columns(verdict).select(
        *INTEGRATION_KEYS, "field", "winner", "losers", "other_order", "conversions", "money", "detail"
    )
    changing = conflicts.filter(pl.col("other_order") != SAME).select("field", "detail").unique()
    rows = (
        issues.join(changing.lazy(), on=["field", "detail"], how="semi")
        .group_by("conversion_id", *DAY_KEYS)
        .agg(pl.col("value").first())
    )
    days = read(
        rows.group_by(DAY_KEYS).agg(
            pl.len().cast(pl.Int64).alias("other_order"),
            pl.col("value").sum().alias("other_order_money"),
            example=pl.col("conversion_id").min(),
        )
    )
    return {"conflicts": conflicts.drop("detail"), "examples": days.select("example"), "days": days.drop("example")}


def under_other_order(winner: str, losers: str, ruleset: Ruleset) -> str:
    """Says whether the other alias_order gives another winner: `changes`, `may change` or `stays`.

    Two spellings of one alias keep the request's order under both orders. Under `listed`, the tables do not show which
    alias came first in the request. Under `payload`, the ranks of the page's list decide.

    Examples:
        >>> under_other_order("value", "amount", Ruleset()), under_other_order("click_id", "clickid", Ruleset())
        ('may change', 'stays')
        >>> under_other_order("amount", "value", Ruleset(alias_order="payload"))
        'changes'

    Source: rules 2.2, 2.3.
    """
    meaning = meaning_of(winner, ruleset)
    if meaning.core < 0:
        return SAME
    ranks = [meaning_of(loser, ruleset).core_rank for loser in losers.split(", ")]
    if all(rank == meaning.core_rank for rank in ranks):
        return SAME
    if ruleset.alias_order == "listed":
        return MAY_CHANGE
    return CHANGES if min(ranks) < meaning.core_rank else SAME


def _summarise(totals: Totals, findings: Findings) -> list[str]:
    if not totals.counts["alias_conflict"]:
        return ["No conversion was sent two different values for one field."]
    first = findings["conflicts"].row(0, named=True)
    certain = int(findings["conflicts"].filter(pl.col("other_order") == CHANGES)["conversions"].sum())
    differing = f"{certain:,} values" if certain else f"at most {totals.count_text('other_order')} conversions"
    return [
        (
            f"{plural(totals.counts['alias_conflict'], 'conversion was', 'conversions were')} sent different values for"
            f" one field{totals.worth('alias_conflict')}. The other alias_order would change {differing}."
            f"{totals.origin}"
        ),
        (
            f"Most often {first['winner']} won over {first['losers']} in {first['integration']}:"
            f" {plural(first['conversions'], 'time')}."
        ),
    ]


ANSWER: Final = Answer(
    key="alias_conflicts",
    title="Alias conflicts",
    question="Which fields were sent several values, and would the other alias_order change rows?",
    base="conversions",
    measures=("conversions", "alias_conflict", "other_order"),
    find=find_conflicts,
    sheets=(Sheet("conflicts", "Parameters that won and lost"),),
    days_chart=(),
    summarise=_summarise,
    unknown=(
        'Tables made with alias_order = "listed" do not show which alias came first in the request, so the number of'
        ' conversions that differ is an upper bound. A run with alias_order = "payload" in its ruleset counts them.'
    ),
    losses=("other_order",),
    cure="Send each field once, or choose the alias_order of a ruleset.",
)
