"""Extracts the parameters of each postback from its query and its form or JSON body (rules 1.2 to 1.5)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.field_lists import fields_of
from etl.rules.body_charsets import in_utf8
from etl.rules.body_faults import BYTE_ORDER_MARK, read_body
from etl.rules.body_paths import BodyPath
from etl.steps.parameter_table import Params, split_forms

#: A body whose first byte after white space is `{` or `[` is meant as JSON; a JSON string may hold an object.
_LOOKS_LIKE_JSON: Final = '^\ufeff?[ \\t\\r\\n]*(?:[{\\[]|"[ \\t\\r\\n\ufeff\\\\a-z0-9]*\\{)'

_BYTES_ABOVE_ASCII: Final = "%[89A-Fa-f][0-9A-Fa-f]"


def parse_bodies(requests: pl.DataFrame) -> pl.DataFrame:
    """Parses bodies that look like JSON into `fields`; texts that are no object get the fault `malformed_body`.

    Args:
        requests: Rows of `schema.REQUESTS`; rows with a fault stay as they are.

    Returns:
        The same rows; `body` is null where it was JSON, and has no byte order mark.

    Source: rules 1.3.
    """
    is_json = requests["fault"].is_null() & requests["body"].str.contains(_LOOKS_LIKE_JSON).fill_null(False)
    requests = requests.with_columns(pl.col("body").str.strip_prefix(BYTE_ORDER_MARK))
    if not is_json.any():
        return requests
    read = [read_body(text) for text in requests["body"].filter(is_json)]
    parsed = fields_of(body.content for body in read)
    places = np.arange(requests.height)
    places[is_json.to_numpy()] = np.arange(len(parsed)) + requests.height
    fields = pl.concat([requests["fields"], parsed], rechunk=True).gather(pl.Series(places))
    faults = pl.Series([body.fault for body in read], dtype=pl.String)
    message = requests["fault_message"].scatter(is_json.arg_true(), faults)
    is_read = is_json & (fields.is_not_null() | message.is_not_null())
    return requests.with_columns(
        fields,
        requests["fault"].set(is_json & message.is_not_null(), "malformed_body"),
        message,
        requests["body"].set(is_read, None),
    )


def explode_params(
    postbacks: pl.DataFrame, parameter_order: str, paths: tuple[BodyPath, ...] = (), charset: str | None = None
) -> Params:
    """Returns the parameters of postbacks in the order of the request.

    Args:
        postbacks: Output of `parse_bodies`: rows of `schema.REQUESTS`.
        parameter_order: `query_first` or `body_first` (rules 1.4).
        paths: Paths into JSON bodies; their values follow the body's own parameters.
        charset: The character encoding of forms, as `Ruleset.body_charset`.
    """
    forms = {name: _recoded(postbacks[name], charset) for name in ("query", "body")}
    query = [split_forms(forms["query"]), _field_params(postbacks["query_fields"], is_json=False)]
    body = [split_forms(forms["body"]), follow_paths(_field_params(postbacks["fields"], is_json=True), paths)]
    return Params.merged([*query, *body] if parameter_order == "query_first" else [*body, *query])


def _recoded(forms: pl.Series, charset: str | None) -> pl.Series:
    """Returns forms whose percent escapes are UTF-8, of forms in another character encoding."""
    if charset is None:
        return forms
    has_bytes = forms.str.contains(_BYTES_ABOVE_ASCII).fill_null(False)
    recoded = [in_utf8(form, charset) for form in forms.filter(has_bytes)]
    return forms.scatter(has_bytes.arg_true(), pl.Series(recoded, dtype=pl.String))


def _field_params(fields: pl.Series, *, is_json: bool) -> Params:
    """Returns the parameters in lists of fields."""
    lengths = fields.list.len().fill_null(0).to_numpy()
    exploded = fields.filter(pl.Series(lengths > 0)).explode().struct.unnest()
    params = Params.named(np.repeat(np.arange(len(fields)), lengths), exploded["name"], exploded["text"])
    is_structure = exploded["is_structure"].to_numpy()
    return params._replace(is_structure=is_structure, is_json=np.full(len(is_structure), is_json))


def follow_paths(params: Params, paths: tuple[BodyPath, ...]) -> Params:
    """Adds the values at paths to the parameters of JSON bodies, after the other parameters of each body.

    An added parameter is named as its path is written. A path that leads nowhere, or to null, adds no parameter. Paths
    of one step are skipped: they are names of parameters that exist already.

    Args:
        params: The parameters of JSON bodies.
        paths: The paths of the ruleset.
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
        for path, (text, is_structure) in _follow(value, by_root[root])
    ]
    if not found:
        return params
    rows, names, texts, is_structure = zip(*found, strict=True)
    added = Params.named(np.array(rows), pl.Series(names), pl.Series(texts))
    return Params.merged(
        [params, added._replace(is_structure=np.array(is_structure), is_json=np.ones(len(rows), np.bool_))]
    )


def _follow(holder: str, paths: list[BodyPath]) -> list[tuple[BodyPath, tuple[str, bool]]]:
    """Returns the paths that lead to a value inside a JSON text, each with the result of `_as_text`."""
    value = json_codec.parse(holder.encode())
    ends = ((path, _value_at(value, path.steps[1:])) for path in paths)
    return [(path, _as_text(end)) for path, end in ends if end is not None]


def _as_text(value: Any) -> tuple[str, bool]:
    """Returns a JSON value as text, and whether it is a structure."""
    if json_codec.is_structure(value):
        return json_codec.dump(value), True
    return json_codec.scalar(value) or "", False


def _value_at(value: Any, steps: tuple[str | int | tuple[str, str], ...]) -> Any:
    """Returns the value that the steps of a path lead to; None where they lead nowhere.

    Examples:
        >>> notes = [{"name": "a", "value": 1}, {"name": "b", "value": [7, 8]}]
        >>> _value_at(notes, (("name", "b"), "value", 1))
        8
        >>> _value_at(notes, (("name", "c"), "value")), _value_at(notes, ("name",))
        (None, None)
    """
    for step in steps:
        value = _step(value, step)
    return value


def _step(value: Any, step: str | int | tuple[str, str]) -> Any:
    """Returns the member or element that one step of a path leads to; None for none."""
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, list):
        return None
    if isinstance(step, int):
        return value[step] if step < len(value) else None
    key, text = step
    return next((item for item in value if isinstance(item, dict) and json_codec.scalar(item.get(key)) == text), None)
