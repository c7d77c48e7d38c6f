"""Finds the records that meet conditions of the ruleset: those that are left out, and tests (rules 11.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import polars as pl

from etl.rules.body_paths import Condition
from etl.rules.ruleset import Ruleset, fold
from etl.steps.parameter_table import Params

LEFT_OUT: Final = "left_out_by_ruleset"


def find_met(params: Params, conditions: Iterable[Condition]) -> pl.DataFrame:
    """Returns the parameters that meet a condition: row, name and value, in the order of the conditions."""
    found = [params.frame(np.empty(0, np.int64))]
    folded = [fold(name) for name in params.names]
    for condition in conditions:
        sought = {fold(condition.path.written), fold(condition.path.form_name)}
        numbers = [number for number, name in enumerate(folded) if name in sought]
        if numbers:
            index = np.flatnonzero(np.isin(params.numbers, numbers) & ~params.is_structure)
            is_met = params.values.gather(index).str.strip_chars().str.contains(condition.pattern)
            found.append(params.frame(index[is_met.to_numpy()]))
    return pl.concat(found).select("row", "name", "value")


def leave_out(routed: pl.DataFrame, params: Params, ruleset: Ruleset) -> tuple[pl.DataFrame, Params]:
    """Marks the postbacks that the ruleset leaves out, and removes their parameters.

    Args:
        routed: All requests; those without a fault are the postbacks.
        params: The parameters of the postbacks.
        ruleset: The rules.

    Returns:
        The requests, in which the fault of postbacks that are left out says so; the parameters of the other postbacks.
    """
    met = find_met(params, ruleset.left_out).unique("row", keep="first", maintain_order=True)
    if met.is_empty():
        return routed, params
    rows = met["row"].to_numpy()
    places = routed["fault"].is_null().arg_true()
    is_kept = np.ones(len(places), np.bool_)
    is_kept[rows] = False
    index = np.flatnonzero(is_kept[params.rows])
    why = met.select(pl.format("{} is {}", "name", "value")).to_series()
    left = routed.with_columns(
        routed["fault"].scatter(places.gather(rows), LEFT_OUT),
        routed["fault_message"].scatter(places.gather(rows), why),
    )
    return left, params.at(index, (np.cumsum(is_kept) - 1)[params.rows[index]])
