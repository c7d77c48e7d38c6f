"""Requests to parameters: query, form and JSON object, one ordered sequence a postback (semantics 1.2 to 1.5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import polars as pl

from etl import json_text
from etl.lists import lists_of
from etl.pairs import Pairs
from etl.paths import follow_paths
from etl.ruleset import BodyPath
from etl.schema import FIELD
from etl.urlencoded import split_forms

#: A body whose first byte that is no blank opens an object or array is meant as JSON (semantics 1.3).
_LOOKS_LIKE_JSON: Final = r"^[ \t\r\n]*[{\[]"


def parse_bodies(requests: pl.DataFrame) -> pl.DataFrame:
    """Bodies of postbacks that look like JSON become `fields`; if they are no JSON object, fault `malformed_body`.

    Args:
        requests: Rows of `schema.REQUESTS`.

    Returns:
        The same rows; `body` is left where it is form text, null elsewhere.

    Source: semantics 1.3.
    """
    is_json = requests["fault"].is_null() & requests["body"].str.contains(_LOOKS_LIKE_JSON).fill_null(False)
    if not is_json.any():
        return requests
    objects = [_parsed_object(text) for text in requests["body"].filter(is_json)]
    parsed = fields_of(objects)
    places = np.arange(requests.height)
    places[is_json.to_numpy()] = np.arange(len(parsed)) + requests.height
    fields = pl.concat([requests["fields"], parsed], rechunk=True).gather(pl.Series(places))
    return requests.with_columns(
        fields,
        requests["fault"].set(is_json & fields.is_null(), "malformed_body"),
        requests["body"].set(is_json, None),
    )


def fields_of(objects: Iterable[dict[str, Any] | list[tuple[str, Any]] | None]) -> pl.Series:
    """Parsed JSON objects, or pairs, as one list of fields each: name, text (JSON text for a structure), is_structure.

    Null values are left out, as an absent parameter is. None gives null.

    Examples:
        >>> fields_of([{"a": 1.50, "b": None}, None]).to_list()
        [[{'name': 'a', 'text': '1.5', 'is_structure': False}], None]
    """
    names: list[str] = []
    texts: list[str] = []
    structures: list[bool] = []
    lengths: list[int] = []
    missing: list[bool] = []
    for parsed in objects:
        missing.append(parsed is None)
        before = len(names)
        for name, value in parsed.items() if isinstance(parsed, dict) else parsed or ():
            if value is None:
                continue
            is_structure = type(value) is dict or type(value) is list
            names.append(name)
            structures.append(is_structure)
            if type(value) is str:
                texts.append(value)
            else:
                texts.append(json_text.dump(value) if is_structure else json_text.scalar(value) or "")
        lengths.append(len(names) - before)
    fields = pl.DataFrame(
        {"name": names, "text": texts, "is_structure": structures},
        schema={field.name: field.dtype for field in FIELD.fields},
    )
    return lists_of(fields.to_struct(), np.array(lengths, np.int64), np.array(missing, np.bool_)).alias("fields")


def explode_params(postbacks: pl.DataFrame, parameter_order: str, paths: tuple[BodyPath, ...] = ()) -> Pairs:
    """The parameters of the postbacks, in the request's order.

    Args:
        postbacks: Rows of `schema.REQUESTS` whose JSON bodies are parsed.
        parameter_order: `query_first` or `body_first` (semantics 1.4).
        paths: Places inside a JSON body that are parameters too; they follow the body's own.
    """
    query = [split_forms(postbacks["query"]), _field_params(postbacks["query_fields"], is_json=False)]
    body = [split_forms(postbacks["body"]), follow_paths(_field_params(postbacks["fields"], is_json=True), paths)]
    return Pairs.merged([*query, *body] if parameter_order == "query_first" else [*body, *query])


def _field_params(fields: pl.Series, *, is_json: bool) -> Pairs:
    lengths = fields.list.len().fill_null(0).to_numpy()
    params = fields.filter(pl.Series(lengths > 0)).explode().struct.unnest()
    pairs = Pairs.named(np.repeat(np.arange(len(fields)), lengths), params["name"], params["text"])
    is_structure = params["is_structure"].to_numpy()
    return pairs._replace(is_structure=is_structure, is_json=np.full(len(is_structure), is_json))


def _parsed_object(text: str) -> dict[str, Any] | None:
    try:
        value = json_text.parse(text.encode())
    except json_text.JsonError:
        return None
    return value if isinstance(value, dict) else None
