"""Paths: values inside the objects and arrays of a JSON body, as further parameters of it (semantics 11)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from etl import json_text
from etl.pairs import Pairs
from etl.ruleset import BodyPath


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
    value = json_text.parse(holder.encode())
    ends = ((path, _at(value, path.steps[1:])) for path in paths)
    return [(path, _as_text(end)) for path, end in ends if end is not None]


def _as_text(value: Any) -> tuple[str, bool]:
    if json_text.is_structure(value):
        return json_text.dump(value), True
    return json_text.scalar(value) or "", False


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
    return next((one for one in value if isinstance(one, dict) and json_text.scalar(one.get(key)) == text), None)
