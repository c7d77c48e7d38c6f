"""Requests to parameters: query, form and JSON object, one ordered sequence a postback (rules 1.2 to 1.5)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.field_lists import fields_of
from etl.rules.ruleset import BodyPath
from etl.transform.parameter_table import Pairs, split_forms

#: A body whose first byte that is no blank opens an object or array is meant as JSON (rules 1.3).
_LOOKS_LIKE_JSON: Final = r"^[ \t\r\n]*[{\[]"


def parse_bodies(requests: pl.DataFrame) -> pl.DataFrame:
    """Bodies of postbacks that look like JSON become `fields`; if they are no JSON object, fault `malformed_body`.

    Args:
        requests: Rows of `schema.REQUESTS`.

    Returns:
        The same rows; `body` is left where it is form text, null elsewhere.

    Source: rules 1.3.
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


def explode_params(postbacks: pl.DataFrame, parameter_order: str, paths: tuple[BodyPath, ...] = ()) -> Pairs:
    """The parameters of the postbacks, in the request's order.

    Args:
        postbacks: Rows of `schema.REQUESTS` whose JSON bodies are parsed.
        parameter_order: `query_first` or `body_first` (rules 1.4).
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
        value = json_codec.parse(text.encode())
    except json_codec.JsonError:
        return None
    return value if isinstance(value, dict) else None


def follow_paths(params: Pairs, paths: tuple[BodyPath, ...]) -> Pairs:
    """The parameters of JSON bodies, those that paths lead to after the others; named as the path is written.

    A path that leads nowhere, or to null, gives none. A path of one step is a name, which needs no looking up.

    Args:
        params: The parameters of JSON bodies.
        paths: The ruleset's.
    """
    by_root: dict[str, list[BodyPath]] = {}
    for path in paths:
        if len(path.steps) > 1:
            by_root.setdefault(str(path.steps[0]), []).append(path)
    if not by_root:
        return params
    is_holder = params.is_structure & params.names.is_in(list(by_root)).to_numpy()[params.numbers]
    found = [
        (row, path.written, text, is_structure)
        for row, root, value in params.frame(np.flatnonzero(is_holder)).select("row", "name", "value").iter_rows()
        for path, (text, is_structure) in _followed(value, by_root[root])
    ]
    if not found:
        return params
    rows, names, texts, is_structure = zip(*found, strict=True)
    added = Pairs.named(np.array(rows), pl.Series(names), pl.Series(texts))
    return Pairs.merged(
        [params, added._replace(is_structure=np.array(is_structure), is_json=np.ones(len(rows), np.bool_))]
    )


def _followed(holder: str, paths: list[BodyPath]) -> list[tuple[BodyPath, tuple[str, bool]]]:
    value = json_codec.parse(holder.encode())
    ends = ((path, _at(value, path.steps[1:])) for path in paths)
    return [(path, _as_text(end)) for path, end in ends if end is not None]


def _as_text(value: Any) -> tuple[str, bool]:
    if json_codec.is_structure(value):
        return json_codec.dump(value), True
    return json_codec.scalar(value) or "", False


def _at(value: Any, steps: tuple[str | int | tuple[str, str], ...]) -> Any:
    """What the steps lead to; None where there is nothing.

    Examples:
        >>> notes = [{"name": "a", "value": 1}, {"name": "b", "value": [7, 8]}]
        >>> _at(notes, (("name", "b"), "value", 1)), _at(notes, (("name", "c"), "value")), _at(notes, ("name",))
        (8, None, None)
    """
    for step in steps:
        value = _step(value, step)
    return value


def _step(value: Any, step: str | int | tuple[str, str]) -> Any:
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, list):
        return None
    if isinstance(step, int):
        return value[step] if step < len(value) else None
    key, text = step
    return next((one for one in value if isinstance(one, dict) and json_codec.scalar(one.get(key)) == text), None)
