"""Builds the passthroughs: parameters with the prefix `xat_`, of which the endpoint stores five names (rules 7.4)."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.factorize import map_distinct
from etl.rules import page
from etl.schema import PASSTHROUGHS
from etl.steps.field_resolution import Fields
from etl.steps.issues import as_findings

#: The passthroughs of a batch without passthroughs.
_NO_PASSTHROUGHS: Final = pl.DataFrame(schema={"row": pl.UInt32} | dict(list(PASSTHROUGHS.schema.items())[1:]))


def build_passthroughs(fields: Fields, conversions: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Builds the passthroughs of conversions, and finds the conversions that lose passthroughs past the fifth.

    Args:
        fields: Fields of the whole batch.
        conversions: `row` of the postbacks that are conversions.

    Returns:
        One row for each distinct name of a conversion, ascending by `row`: `row` and the columns of
        `schema.PASSTHROUGHS` without conversion_id; and frames of `issues.FINDINGS`.

    Source: "Passthrough Parameters"; rules 7.4.
    """
    index = np.flatnonzero(fields.is_sent & fields.meaning("is_passthrough"))
    index = index[np.isin(fields.params.rows[index], conversions["row"].to_numpy())]
    if not len(index):
        return _NO_PASSTHROUGHS, []
    sent = fields.params.frame(index)
    structures = sent["value"].set(~sent["is_structure"], None)
    distinct = sent.with_columns(
        name=pl.col("name").str.strip_prefix(page.PASSTHROUGH_PREFIX),
        value=map_distinct(structures, _compact).fill_null(sent["value"]),
    ).unique(["row", "name"], keep="first", maintain_order=True)
    rows = distinct["row"].to_numpy()
    position = pl.Series(np.arange(len(rows)) - np.searchsorted(rows, rows), dtype=pl.Int32)
    table = distinct.select(
        "row", position.alias("position"), "name", "value", stored=position < page.PASSTHROUGH_LIMIT
    )
    dropped = (
        table.filter(~pl.col("stored"))
        .group_by("row", maintain_order=True)
        .agg(detail=(page.PASSTHROUGH_PREFIX + pl.col("name")).str.join(", "))
    )
    return table, [as_findings(dropped, "passthrough_dropped")]


def _compact(text: str) -> str:
    """Rewrites JSON text as `json_codec.compact` does: no white space, plain numbers, characters unescaped."""
    return json_codec.compact(json_codec.parse(text.encode()))
