"""Empties what is personal in rows of the tables; ids, amounts, times, counts and all other values stay (rules 9.1).

In a row that is chosen:

1. The columns of personal values, their hashes and the raw record become null, and so does a match key that is an
   address.
2. A text that holds an e-mail address or a hash of one becomes null, and so does a text that names the person.
3. The value of a passthrough and the detail of an issue become null if the name or parameter is that of a trait.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar.string_buffers import lists_of
from etl.privacy.addresses import HASHED, hide_addresses
from etl.privacy.named_values import NamedValueRedactor
from etl.privacy.persons import Person, name_person
from etl.rules.ruleset import Ruleset
from etl.schema import PERSONAL_COLUMNS, SENT_COLUMNS

#: Columns of names, and the columns of what is named so: of passthroughs and of issues.
_NAMED: Final = (("name", "value"), ("parameter", "detail"))

_HASH: Final = f"{HASHED}[0-9a-f]{{32}}"


class Erased(NamedTuple):
    """The rows of a table or file, some of them emptied.

    Attributes:
        rows: All rows, in their order.
        is_changed: For each row, whether something in it was emptied.
        columns: For each column in which something was emptied, the number of rows.
    """

    rows: pl.DataFrame
    is_changed: pl.Series
    columns: dict[str, int]


def erase(rows: pl.DataFrame, is_chosen: pl.Series, person: Person | None = None) -> Erased:
    """Empties what is personal in the chosen rows.

    Args:
        rows: Rows of a table of `schema` or of a warehouse.
        is_chosen: Boolean, one for each row.
        person: Texts that name this person are emptied too.
    """
    numbered = rows.with_row_index("place")
    emptied = _emptied(numbered.filter(is_chosen), person)
    after = pl.concat([numbered.filter(~is_chosen), emptied]).sort("place").drop("place")
    names = [name for name in rows.columns if _may_change(rows, name)]
    both = pl.concat([rows.select(names), after.select(pl.col(names).name.suffix("_now"))], how="horizontal")
    changes = both.select(pl.col(name).ne_missing(pl.col(f"{name}_now")) for name in names)
    counts = changes.sum().row(0, named=True) if names else {}
    is_changed = changes.select(pl.any_horizontal(names)).to_series() if names else is_chosen & False
    return Erased(after, is_changed, {name: count for name, count in counts.items() if count})


def texts_of_record(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Returns all texts of rows that come from their records: `key` and `text`.

    Args:
        rows: Rows of a table of `schema` or of a warehouse.
        key: The column of ids.
    """
    names = [name for name in rows.columns if _may_change(rows, name)]
    texts = [name for name in names if rows[name].dtype == pl.String]
    found = [rows.select(key, *texts).unpivot(index=key, value_name="text").select("text", key=key).drop_nulls("text")]
    for name in names:
        if name not in texts and (inner := rows.select(key, name).filter(pl.col(name).list.len() > 0)).height:
            parts = inner.select(key).with_columns(inner[name]).explode(name)
            found.append(texts_of_record(parts.select(key).with_columns(parts[name].struct.unnest()), key))
    return pl.concat(found)


def _may_change(rows: pl.DataFrame, name: str) -> bool:
    """Returns whether a column holds texts of the record, or lists of such texts."""
    dtype = rows[name].dtype
    is_text = dtype == pl.String and (name in PERSONAL_COLUMNS | SENT_COLUMNS | {"parameter", "detail"})
    return is_text or (isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct))


def _emptied(rows: pl.DataFrame, person: Person | None) -> pl.DataFrame:
    """Empties what is personal in all rows."""
    if not rows.height:
        return rows
    names = [name for name in rows.columns if _may_change(rows, name)]
    sent = [name for name in names if rows[name].dtype == pl.String and name not in PERSONAL_COLUMNS]
    personal = _personal_texts(
        pl.concat([pl.Series([], dtype=pl.String), *(rows[name].unique() for name in sent)]), person
    )
    null = pl.lit(None, pl.String)
    is_emptied = {name: pl.col(name).is_in(personal.implode()) for name in sent}
    if "match_type" in rows.columns:
        is_emptied["match_key"] |= pl.col("match_type") == "email"
    for name, value in _NAMED:
        if value in is_emptied and name in rows.columns:
            is_trait = pl.col(name).replace_strict(_traits(rows[name]), default=False, return_dtype=pl.Boolean)
            is_emptied[value] |= is_trait
    return rows.with_columns(
        *(null.alias(name) for name in names if name in PERSONAL_COLUMNS),
        *(pl.when(empty).then(null).otherwise(name).alias(name) for name, empty in is_emptied.items()),
        *(_emptied_lists(rows[name], person) for name in names if rows[name].dtype != pl.String),
    )


def _emptied_lists(lists: pl.Series, person: Person | None) -> pl.Series:
    """Empties what is personal in a column of lists of structs."""
    inner = lists.list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
    if not inner.height:
        return lists
    lengths = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    emptied = lists_of(_emptied(inner, person).to_struct(), lengths, lists.is_null().to_numpy())
    return emptied.cast(lists.dtype).alias(lists.name)


def _personal_texts(texts: pl.Series, person: Person | None) -> pl.Series:
    """Returns the texts that hold an e-mail address or a hash of one, or name the person."""
    known = texts.drop_nulls().unique()
    is_personal = hide_addresses(known, "drop").is_null() | known.str.contains(_HASH)
    return known.filter(is_personal if person is None else is_personal | name_person(person, known))


def _traits(names: pl.Series) -> dict[str, bool]:
    """Returns for each distinct name whether it is that of a personal trait."""
    return {name: _redactor().trait(name) is not None for name in names.unique().drop_nulls()}


@cache
def _redactor() -> NamedValueRedactor:
    """Returns what knows the names of personal traits."""
    return NamedValueRedactor(Ruleset(), "drop")
