"""Finds identities that a JSON body holds deeper inside, so that a rejection can name their path (rules 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from etl.columnar import json_codec
from etl.rules.page import WHITE_SPACE
from etl.rules.parameter_names import meaning_of
from etl.rules.ruleset import Ruleset

#: How many values of a body are looked at.
_MOST_VALUES: Final = 10_000


def find_identity(fields: list[dict[str, Any]] | None, ruleset: Ruleset) -> str | None:
    """Names the best identity inside the objects and arrays of a body, such as `email at data.buyer.email`.

    Args:
        fields: The fields of the body, as `columnar.field_lists.FIELD`.
        ruleset: Gives the names of the identity fields; the field that comes first there is the best.

    Returns:
        The suggestion; None where no value would identify the visitor.
    """
    roots = {one["name"]: json_codec.parse(one["text"].encode()) for one in fields or () if one["is_structure"]}
    found: list[tuple[int, int, str, str]] = []
    for number, (path, name, value) in zip(range(_MOST_VALUES), _leaves(roots), strict=False):
        core = meaning_of(name, ruleset).core
        is_identity = core >= 0 and ruleset.core_fields[core].name in ("click_id", "ref_id", "email")
        if is_identity and "." in path and (json_codec.scalar(value) or "").strip(WHITE_SPACE):
            found.append((core, number, ruleset.core_fields[core].name, path))
    if not found:
        return None
    _, _, field, path = min(found)
    return f"{field} at {path}: name it in [paths] of a ruleset"


def _leaves(root: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yields path, name and value of every scalar that is a member of an object, level by level."""
    level: list[tuple[str, str, Any]] = [("", "", root)]
    while level:
        inner: list[tuple[str, str, Any]] = []
        for path, name, value in level:
            if isinstance(value, dict):
                inner += [(f"{path}.{key}" if path else key, key, one) for key, one in value.items()]
            elif isinstance(value, list):
                inner += [(f"{path}[{place}]", "", one) for place, one in enumerate(value)]
            elif name and value is not None:
                yield path, name, value
        level = inner
