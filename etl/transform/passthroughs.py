"""Passthroughs: `xat_` parameters, the first five distinct names of which the endpoint stores (rules 7.4)."""

from __future__ import annotations

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.factorize import on_distinct
from etl.rules import page
from etl.transform.field_resolution import Fields
from etl.transform.issues import finding


def build_passthroughs(fields: Fields, conversions: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """One row a distinct passthrough name of the conversions, and which conversions lose some.

    Args:
        fields: Of the whole batch.
        conversions: `row` of the postbacks that are conversions.

    Returns:
        `row` and the columns of `schema.PASSTHROUGHS` but the id, ascending; frames of `issues.FINDINGS`.

    Source: "Passthrough Parameters"; rules 7.4.
    """
    index = np.flatnonzero(fields.is_sent & fields.meaning("is_passthrough"))
    index = index[np.isin(fields.params.rows[index], conversions["row"].to_numpy())]
    sent = fields.params.frame(index)
    structures = sent["value"].set(~sent["is_structure"], None)
    distinct = sent.with_columns(
        name=pl.col("name").str.strip_prefix(page.PASSTHROUGH_PREFIX),
        value=on_distinct(structures, _compact).fill_null(sent["value"]),
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
    return table, [finding(dropped, "passthrough_dropped")]


def _compact(text: str) -> str:
    return json_codec.compact(json_codec.parse(text.encode()))
