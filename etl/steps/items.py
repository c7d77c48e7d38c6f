"""Reads the items array of each conversion from native JSON, JSON text, or keys such as `items[0][id]` (rules 8)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.factorize import factorize
from etl.columnar.string_buffers import Positions
from etl.rules import value_parsing
from etl.rules.page import WHITE_SPACE
from etl.rules.ruleset import Ruleset, fold
from etl.schema import ITEMS
from etl.steps.field_resolution import Fields
from etl.steps.issues import as_findings
from etl.steps.money import in_major_units

_LAST_POSITION: Final = 2**31 - 1
_TOLERANCE: Final = Decimal("0.01")
#: The rounding errors of sums of doubles up to this total are far below the tolerance.
_SURE_TOTAL: Final = 1e9
_EXACT: Final = Context(prec=120)

#: The items of a batch without items.
_NO_ITEMS: Final = pl.DataFrame(schema={"row": pl.UInt32} | dict(list(ITEMS.schema.items())[1:]))


class _ItemParam(NamedTuple):
    """A parameter that holds items: index of its container name, name, value, index and field in brackets."""

    container: int
    name: str
    value: str
    bracket_index: str | None
    bracket_field: str | None


#: All parameters of a postback that hold items. Postbacks with equal contents share the result.
_Content = tuple[_ItemParam, ...]


class _Array(NamedTuple):
    """The items array in a container: position and object of each item, whether it is usable, whether malformed."""

    elements: list[tuple[int, dict[str, Any]]]
    is_usable: bool
    is_malformed: bool


def build_items(fields: Fields, conversions: pl.DataFrame, ruleset: Ruleset) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Builds the items of conversions, and finds the issues of items.

    Args:
        fields: Fields of the whole batch.
        conversions: row, value and currency of the postbacks that are conversions.
        ruleset: The rules.

    Returns:
        One row for each item, ascending by `row`: `row` and the columns of `schema.ITEMS` without conversion_id; and
        frames of `issues.FINDINGS`.

    Source: "Items Array"; rules 8.
    """
    index = _sent_params(fields, conversions)
    if not len(index):
        return _NO_ITEMS, []
    rows, contents, distinct = _contents(fields, index)
    currencies = pl.Series([None] * len(distinct), dtype=pl.String)
    if ruleset.has_minor_prices:
        contents, distinct, currencies = _by_currency(rows, contents, distinct, conversions)
    read = [_read_content(content, ruleset) for content in distinct]
    texts = _item_texts([elements for elements, _ in read], ruleset)
    price, quantity = (value_parsing.amount(texts[name]) for name in ("price", "quantity"))
    if ruleset.has_minor_prices:
        price = in_major_units(price, currencies.gather(texts["content"]), ruleset)
    items = texts.with_columns(price, quantity)
    lengths = np.array([len(elements) for elements, _ in read], np.int64)
    places = _item_indices(lengths, contents)
    table = items[places].with_columns(row=pl.Series(np.repeat(rows, lengths[contents]), dtype=pl.UInt32))
    faulty = [(row, name) for row, content in zip(rows, contents, strict=True) for name in read[content][1]]
    malformed = pl.DataFrame(faulty, schema={"row": pl.UInt32, "parameter": pl.String}, orient="row")
    return table.select("row", *ITEMS.names[1:]), [
        as_findings(malformed, "malformed_items"),
        *(_invalid_numbers(table, texts[name].gather(places), name) for name in ("price", "quantity")),
        as_findings(_mismatches(items, rows, contents, conversions), "items_total_mismatch"),
    ]


def _sent_params(fields: Fields, conversions: pl.DataFrame) -> Positions:
    """Returns the indices of the parameters that hold items of conversions."""
    params, meanings = fields.params, fields.meanings
    is_bracket, is_element = (
        meanings[name].is_not_null().to_numpy()[params.numbers] for name in ("bracket_index", "bracket_field")
    )
    is_sent = fields.is_sent & (fields.meaning("container") >= 0)
    is_sent &= ~(params.is_json & is_bracket) & ~(params.is_structure & is_element)
    index = np.flatnonzero(is_sent)
    return index[np.isin(params.rows[index], conversions["row"].to_numpy())]


def _contents(fields: Fields, index: Positions) -> tuple[Positions, Positions, list[_Content]]:
    """Groups the parameters by postback, and numbers equal contents.

    Returns:
        The rows of postbacks with items, the number of each row's content, and the distinct contents.
    """
    values, numbers = factorize(fields.params.values.gather(index))
    pairs = fields.params.numbers[index] * len(values) + numbers.to_numpy()
    _, firsts, kinds = np.unique(pairs, return_index=True, return_inverse=True)
    known = _read_params(fields, index[firsts])
    rows, starts = np.unique(fields.params.rows[index], return_index=True)
    found: dict[tuple[int, ...], int] = {}
    sent, bounds = kinds.tolist(), [*starts.tolist(), len(index)]
    contents = [found.setdefault(tuple(sent[start:end]), len(found)) for start, end in pairwise(bounds)]
    return rows, np.array(contents, np.int64), [tuple(known[kind] for kind in content) for content in found]


def _by_currency(
    rows: Positions, contents: Positions, distinct: list[_Content], conversions: pl.DataFrame
) -> tuple[Positions, list[_Content], pl.Series]:
    """Numbers the contents anew, so that each belongs to conversions of one currency.

    Returns:
        The number of each row's content, the distinct contents, and the currency of each of these.
    """
    sent = pl.DataFrame({"row": rows, "content": contents}).cast({"row": pl.UInt32})
    known = sent.join(conversions.select("row", "currency"), on="row", how="left", maintain_order="left")
    kinds = known.select("content", "currency").unique(maintain_order=True).with_row_index("kind")
    found = known.join(kinds, on=("content", "currency"), nulls_equal=True, how="left", maintain_order="left")
    return found["kind"].cast(pl.Int64).to_numpy(), [distinct[kind] for kind in kinds["content"]], kinds["currency"]


def _read_params(fields: Fields, index: Positions) -> list[_ItemParam]:
    """Returns the parameters at `index` with their meanings."""
    params = fields.params.frame(index)
    columns = ("container", "bracket_index", "bracket_field")
    meant = [fields.meanings[name].gather(fields.params.numbers[index]) for name in columns]
    return list(map(_ItemParam._make, params.with_columns(meant).select(_ItemParam._fields).rows()))


def _item_texts(read: list[list[tuple[int, dict[str, Any]]]], ruleset: Ruleset) -> pl.DataFrame:
    """Returns one row for each item of the distinct contents: number of the content, position, text of every field."""
    items = [
        (content, position, *_field_texts(element, ruleset))
        for content, elements in enumerate(read)
        for position, element in elements
    ]
    schema = {"content": pl.UInt32, "position": pl.Int32} | {field.name: pl.String for field in ruleset.item_fields}
    return pl.DataFrame(dict(zip(schema, zip(*items, strict=True), strict=True)) if items else None, schema=schema)


def _item_indices(lengths: Positions, contents: Positions) -> Positions:
    """Returns the item indices of a sequence of contents.

    Args:
        lengths: Number of items of each distinct content; the items of all contents are stored one after another.
        contents: The sequence: numbers of distinct contents.
    """
    firsts = np.cumsum(lengths) - lengths
    counts = lengths[contents]
    return np.repeat(firsts[contents] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


def _read_content(params: _Content, ruleset: Ruleset) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """Returns the items of the first usable array, and the names of the faulty arrays up to it (rules 8.1)."""
    faulty: list[str] = []
    for container in range(len(ruleset.item_containers.accepted)):
        for name, array in _arrays([param for param in params if param.container == container]):
            if array.is_malformed:
                faulty.append(name)
            if array.is_usable:
                return array.elements, faulty
    return [], faulty


def _arrays(params: list[_ItemParam]) -> Iterator[tuple[str, _Array]]:
    """Yields the arrays of one container name: the first plain value, and all bracket keys; in the request's order."""
    brackets = [param for param in params if param.bracket_index is not None]
    plain = next((param for param in params if param.bracket_index is None), None)
    for param in params:
        if param is plain:
            yield param.name, _read_json(param)
        elif brackets and param is brackets[0]:
            yield param.name, _read_brackets(brackets)


def _read_json(param: _ItemParam) -> _Array:
    """Reads an array of items from JSON text; a single object counts as a malformed array of one item."""
    try:
        value = json_codec.parse(param.value.encode())
    except json_codec.JsonError:
        value = None
    is_single = isinstance(value, dict)
    elements = [value] if is_single else value
    if not isinstance(elements, list):
        return _Array([], is_usable=False, is_malformed=True)
    objects = [(position, element) for position, element in enumerate(elements) if isinstance(element, dict)]
    return _Array(objects, bool(elements), is_single or len(objects) < len(elements))


def _read_brackets(params: list[_ItemParam]) -> _Array:
    """Reads items from bracket keys.

    `items[0][id]` sets a field of item 0. `items[][id]` sets a field of an item after all earlier items; a repeated
    field begins a new item.
    """
    elements: dict[int, dict[str, str]] = {}
    scalars: set[int] = set()
    appended: dict[str, str] | None = None
    named: set[str] = set()  # the folded fields of `appended`
    following = 0
    for param in params:
        position = int(param.bracket_index.lstrip("0")[:11] or 0) if param.bracket_index else following
        field = param.bracket_field
        if field and not param.bracket_index and appended is not None and fold(field) not in named:
            named.add(fold(field))
            appended[field] = param.value
            continue
        following = max(following, position + 1)
        if field is None:
            scalars.add(position)
            appended = None
        elif param.bracket_index:
            element = elements.setdefault(position, {})
            element.setdefault(field, param.value)
            if element is appended:
                named.add(fold(field))
        else:
            appended = elements[position] = {field: param.value}
            named = {fold(field)}
    reached = [(position, element) for position, element in sorted(elements.items()) if position <= _LAST_POSITION]
    is_malformed = bool(scalars) or len(reached) < len(elements)
    return _Array(reached, is_usable=True, is_malformed=is_malformed)


def _field_texts(element: dict[str, Any], ruleset: Ruleset) -> list[str | None]:
    """Returns the text of every item field; the alias that the page lists first wins, empty texts count as not sent."""
    texts: list[str | None] = []
    for names in _names_by_field(tuple(element), ruleset):
        for name in names:
            text = json_codec.scalar(element[name])
            if text and text.strip(WHITE_SPACE):
                texts.append(text)
                break
        else:
            texts.append(None)
    return texts


@lru_cache(maxsize=4096)
def _names_by_field(names: tuple[str, ...], ruleset: Ruleset) -> list[list[str]]:
    """Returns, for each item field of the ruleset, the names that the field accepts; the name that wins comes first."""
    read = fold if ruleset.item_field_names == "folded" else str
    return [
        [name for accepted in dict.fromkeys(map(read, field.accepted)) for name in names if read(name) == accepted]
        for field in ruleset.item_fields
    ]


def _invalid_numbers(table: pl.DataFrame, texts: pl.Series, name: str) -> pl.DataFrame:
    """Finds items whose price or quantity was sent but is no number."""
    is_unread = table[name].is_null() & texts.is_not_null()
    unread = table.with_columns(detail=texts).filter(is_unread)
    return as_findings(
        unread.select("row", "detail", parameter=pl.format("items[{}]." + name, "position")), f"invalid_item_{name}"
    )


def _mismatches(items: pl.DataFrame, rows: Positions, contents: Positions, conversions: pl.DataFrame) -> pl.DataFrame:
    """Finds rows whose items all have price and quantity but do not add up to the value (rules 8.4).

    Sums of doubles pass the rows that clearly add up; only the other rows are summed exactly, as decimals.
    """
    price, quantity = (pl.col(name).cast(pl.Float64) for name in ("price", "quantity"))
    product = price * quantity
    totals = items.group_by("content").agg(
        total=product.sum(), size=product.abs().sum(), is_complete=product.is_not_null().all()
    )
    sent = pl.DataFrame({"row": rows, "content": contents}).cast({"row": pl.UInt32, "content": pl.UInt32})
    is_sure = (pl.col("total") - pl.col("value").cast(pl.Float64)).abs() < float(_TOLERANCE) / 2
    unsure = (
        sent.join(conversions.drop_nulls("value"), on="row", maintain_order="left")
        .join(totals.filter("is_complete"), on="content", maintain_order="left")
        .filter(~(is_sure & (pl.col("size") < _SURE_TOTAL)))
    )
    exact = _exact_totals(items.join(unsure, on="content", how="semi", maintain_order="left"))
    found = [
        (row, f"{exact[content].normalize(_EXACT):f}")
        for row, content, value in unsure.select("row", "content", "value").iter_rows()
        if abs(_EXACT.subtract(exact[content], value)) > _TOLERANCE
    ]
    return pl.DataFrame(found, schema={"row": pl.UInt32, "detail": pl.String}, orient="row")


def _exact_totals(items: pl.DataFrame) -> dict[int, Decimal]:
    """Returns the exact total of the items of each content."""
    totals: dict[int, Decimal] = {}
    for content, price, quantity in items.select("content", "price", "quantity").iter_rows():
        totals[content] = _EXACT.fma(price, quantity, totals.get(content, Decimal(0)))
    return totals
