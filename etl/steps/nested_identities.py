"""Finds identities that a JSON body holds deeper inside, so that a rejection can name their path (rules 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

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
    best: tuple[int, _ValuePlace] | None = None
    for place, name, value in islice(_leaves(roots), _MOST_VALUES):
        core = meaning_of(name, ruleset).core
        is_identity = core >= 0 and ruleset.core_fields[core].name in ("click_id", "ref_id", "email")
        if not is_identity or not place.is_inner or (best and core >= best[0]):
            continue
        if (json_codec.scalar(value) or "").strip(WHITE_SPACE):
            best = core, place
    if best is None:
        return None
    core, place = best
    return f"{ruleset.core_fields[core].name} at {place.path}: name it in [paths] of a ruleset"


class _ValuePlace(NamedTuple):
    """Where a value stands: its path is written once it is wanted, because paths may be as long as the body.

    Attributes:
        outer: Where the object or array that holds the value stands; None for the body.
        step: The text that its path has behind that of `outer`.
        is_inner: Whether the path has a dot: the value is not a field of the body.
    """

    outer: _ValuePlace | None
    step: str
    is_inner: bool

    @property
    def path(self) -> str:
        """The path in the notation of rulesets."""
        steps, place = [self.step], self.outer
        while place is not None:
            steps.append(place.step)
            place = place.outer
        return "".join(reversed(steps))

    def member(self, name: str) -> _ValuePlace:
        """Returns the place of a member of the object here; what has no name so far needs no dot."""
        dot = "." if self.step else ""
        return _ValuePlace(self, dot + name, self.is_inner or "." in name or bool(dot))


def _leaves(root: dict[str, Any]) -> Iterator[tuple[_ValuePlace, str, Any]]:
    """Yields place, name and value of every scalar that is a member of an object, level by level."""
    level: list[tuple[_ValuePlace, str, Any]] = [(_ValuePlace(None, "", is_inner=False), "", root)]
    while level:
        inner: list[tuple[_ValuePlace, str, Any]] = []
        for place, name, value in level:
            if isinstance(value, dict):
                inner += [(place.member(key), key, one) for key, one in value.items()]
            elif isinstance(value, list):
                inner += [(_ValuePlace(place, f"[{i}]", place.is_inner), "", one) for i, one in enumerate(value)]
            elif name and value is not None:
                yield place, name, value
        level = inner
