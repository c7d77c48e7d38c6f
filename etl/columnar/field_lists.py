"""Converts parsed JSON objects to a column of field lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.string_buffers import lists_of

#: One field of a JSON object. `text` is JSON text where the value is an object or array.
FIELD: Final = pl.Struct({"name": pl.String, "text": pl.String, "is_structure": pl.Boolean})


def fields_of(objects: Iterable[dict[str, Any] | list[tuple[str, Any]] | None]) -> pl.Series:
    """Converts each parsed JSON object, or list of pairs, to one list of `FIELD` structs.

    Members whose value is null are left out, like absent parameters. None becomes a null list.

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
                texts.append(json_codec.dump(value) if is_structure else json_codec.scalar(value) or "")
        lengths.append(len(names) - before)
    fields = pl.DataFrame(
        {"name": names, "text": texts, "is_structure": structures},
        schema={field.name: field.dtype for field in FIELD.fields},
    )
    return lists_of(fields.to_struct(), np.array(lengths, np.int64), np.array(missing, np.bool_)).alias("fields")
