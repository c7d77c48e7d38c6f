"""The items array of each conversion: native JSON, JSON text, or bracket keys (semantics 8)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import polars as pl

from etl import json_text, values
from etl.aliases import Fields
from etl.issues import finding
from etl.ruleset import Ruleset, fold
from etl.schema import ITEMS
from etl.spec import WHITE_SPACE

_LAST_POSITION: Final = 2**31 - 1
_TOLERANCE: Final = Decimal("0.01")
#: Sums of doubles up to here are far more exact than the tolerance.
_SURE_TOTAL: Final = 1e9
_EXACT: Final = Context(prec=120)


class _Param(NamedTuple):
    row: int
    container: int
    name: str
    value: str
    is_structure: bool
    bracket_index: str | None
    bracket_field: str | None


class _Array(NamedTuple):
    """What one container holds: (position, object) of its elements, whether it is usable, whether it is malformed."""

    elements: list[tuple[int, dict[str, Any]]]
    is_usable: bool
    is_malformed: bool


def build_items(
    params: pl.DataFrame, fields: Fields, conversions: pl.DataFrame, ruleset: Ruleset
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """One row an item of the conversions, and what is odd about them.

    Args:
        params: Rows of `schema.PARAMS`.
        fields: Tells which of them hold items.
        conversions: row and value of the postbacks that are conversions.
        ruleset: The rules.

    Returns:
        `row` and the columns of `schema.ITEMS` but the id, ascending; frames of `issues.FINDINGS`.

    Source: "Items Array"; semantics 8.
    """
    sent = params.with_columns(*fields.meanings.select("container", "bracket_index", "bracket_field")).filter(
        fields.is_sent
        & (fields.meanings["container"] >= 0)
        & ~(params["is_json"] & fields.meanings["bracket_index"].is_not_null())
        & ~(params["is_structure"] & fields.meanings["bracket_field"].is_not_null())
    )
    sent = sent.join(conversions.select("row"), on="row", how="semi", maintain_order="left")
    items: list[tuple[Any, ...]] = []
    malformed: list[tuple[int, str]] = []
    for row, group in groupby(map(_Param._make, sent.select(_Param._fields).rows()), key=itemgetter(0)):
        elements, faulty = _read_postback(list(group), ruleset)
        items += [(row, position, *_field_texts(element, ruleset)) for position, element in elements]
        malformed += [(row, name) for name in faulty]
    schema = {"row": pl.UInt32, "position": pl.Int32} | {field.name: pl.String for field in ruleset.item_fields}
    texts = pl.DataFrame(dict(zip(schema, zip(*items, strict=True), strict=True)) if items else None, schema=schema)
    table = texts.with_columns(price=values.amount(texts["price"]), quantity=values.amount(texts["quantity"]))
    faulty_rows = pl.DataFrame(malformed, schema={"row": pl.UInt32, "parameter": pl.String}, orient="row")
    return table.select("row", *ITEMS.schema.names()[1:]), [
        finding(faulty_rows, "malformed_items"),
        *(_unread_numbers(table, texts, name) for name in ("price", "quantity")),
        finding(_mismatches(table, conversions), "items_total_mismatch"),
    ]


def _read_postback(params: list[_Param], ruleset: Ruleset) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """The elements of the first usable array, and the names of the malformed ones up to it (semantics 8.1)."""
    faulty: list[str] = []
    unused: list[str] = []
    for container in range(len(ruleset.item_containers.accepted)):
        for name, array in _arrays([param for param in params if param.container == container]):
            if array.is_malformed:
                faulty.append(name)
            if array.is_usable:
                return array.elements, [*faulty, *unused]
            if not array.is_malformed:
                unused.append(name)
    return [], faulty


def _arrays(params: list[_Param]) -> Iterator[tuple[str, _Array]]:
    """What one container name holds, in the request's order: its first plain value, its bracket keys together."""
    brackets = [param for param in params if param.bracket_index is not None]
    plain = next((param for param in params if param.bracket_index is None), None)
    for param in params:
        if param is plain:
            yield param.name, _read_json(param)
        elif brackets and param is brackets[0]:
            yield param.name, _read_brackets(brackets)


def _read_json(param: _Param) -> _Array:
    try:
        value = json_text.parse(param.value.encode())
    except json_text.JsonError:
        value = None
    is_single = isinstance(value, dict)
    elements = [value] if is_single else value
    if not isinstance(elements, list):
        return _Array([], is_usable=False, is_malformed=True)
    objects = [(position, element) for position, element in enumerate(elements) if isinstance(element, dict)]
    return _Array(objects, bool(elements), is_single or len(objects) < len(elements))


def _read_brackets(params: list[_Param]) -> _Array:
    """`items[0][id]=…` by its index; `items[][id]=…` after what came before, a new item where a field repeats."""
    elements: dict[int, dict[str, str]] = {}
    scalars: set[int] = set()
    appended: dict[str, str] | None = None
    for param in params:
        following = max([*elements, *scalars], default=-1) + 1
        position = int(param.bracket_index.lstrip("0")[:11] or 0) if param.bracket_index else following
        field = param.bracket_field
        if field is None:
            scalars.add(position)
            appended = None
        elif param.bracket_index:
            elements.setdefault(position, {}).setdefault(field, param.value)
        else:
            if appended is None or any(fold(field) == fold(known) for known in appended):
                appended = elements[position] = {}
            appended[field] = param.value
    reached = [(position, element) for position, element in sorted(elements.items()) if position <= _LAST_POSITION]
    is_malformed = bool(scalars) or len(reached) < len(elements)
    return _Array(reached, is_usable=True, is_malformed=is_malformed)


def _field_texts(element: dict[str, Any], ruleset: Ruleset) -> list[str | None]:
    """The text of every item field: the alias that the page lists first wins, empty texts count as not sent."""
    texts: list[str | None] = []
    for names in _names_by_field(tuple(element), ruleset):
        for name in names:
            text = json_text.scalar(element[name])
            if text and text.strip(WHITE_SPACE):
                texts.append(text)
                break
        else:
            texts.append(None)
    return texts


@lru_cache(maxsize=4096)
def _names_by_field(names: tuple[str, ...], ruleset: Ruleset) -> list[list[str]]:
    """For each item field those of an element's names that can fill it, the best first."""
    read = fold if ruleset.item_field_names == "folded" else str
    return [
        [name for accepted in dict.fromkeys(map(read, field.accepted)) for name in names if read(name) == accepted]
        for field in ruleset.item_fields
    ]


def _unread_numbers(table: pl.DataFrame, texts: pl.DataFrame, name: str) -> pl.DataFrame:
    is_unread = table[name].is_null() & texts[name].is_not_null()
    unread = texts.filter(is_unread).select("row", parameter=pl.format("items[{}]." + name, "position"), detail=name)
    return finding(unread, f"invalid_item_{name}")


def _mismatches(table: pl.DataFrame, conversions: pl.DataFrame) -> pl.DataFrame:
    """Rows whose items all have price and quantity and do not add up to the value (semantics 8.4)."""
    found: list[tuple[int, str]] = []
    priced = table.join(conversions.drop_nulls("value"), on="row", maintain_order="left").filter(
        _may_differ().over("row")
    )
    for row, group in groupby(priced.select("row", "value", "price", "quantity").iter_rows(), key=itemgetter(0)):
        total, value = Decimal(0), Decimal(0)
        for _, value, price, quantity in group:  # noqa: B007 - the value is the same in every row
            total = _EXACT.fma(price, quantity, total)
        if abs(_EXACT.subtract(total, value)) > _TOLERANCE:
            found.append((row, f"{total.normalize(_EXACT):f}"))
    return pl.DataFrame(found, schema={"row": pl.UInt32, "detail": pl.String}, orient="row")


def _may_differ() -> pl.Expr:
    """Whether every item has both numbers, and their sum in floating point is not surely within the tolerance."""
    price, quantity, value = (pl.col(name).cast(pl.Float64) for name in ("price", "quantity", "value"))
    product = price * quantity
    is_sure = ((product.sum() - value.first()).abs() < float(_TOLERANCE) / 2) & (product.abs().sum() < _SURE_TOTAL)
    return product.is_not_null().all() & ~is_sure
