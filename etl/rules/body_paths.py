"""Defines paths into JSON bodies, and conditions on the values there (rules 11.1)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_STEP: Final = re.compile(r"(?:^|\.)([^.\[\]]+)|\[([0-9]{1,6})\]|\[([^\[\]=]+)=([^\[\]]+)\]", re.ASCII)


class BodyPath(NamedTuple):
    """A path into a JSON body whose value is read as a parameter.

    Attributes:
        written: The path as the ruleset file writes it.
        parameter: The name of the parameter; empty where only a condition looks at the value.
        steps: Each step is a member's name, the index of an element, or (name, text): the first element whose member
            of that name has that text.
    """

    written: str
    parameter: str
    steps: tuple[str | int | tuple[str, str], ...]

    @property
    def form_name(self) -> str:
        """The path as PHP names it in a form: `customer[email]` for `customer.email`."""
        first, *rest = (step if isinstance(step, (str, int)) else "=".join(step) for step in self.steps)
        return f"{first}" + "".join(f"[{step}]" for step in rest)


class Condition(NamedTuple):
    """A condition on a parameter, or on a place in a JSON body: it has one of some values.

    Attributes:
        path: The parameter or place.
        values: The values, compared trimmed and without case. A `*` at the end stands for one character or more.
    """

    path: BodyPath
    values: tuple[str, ...]

    @property
    def pattern(self) -> str:
        r"""A regular expression for the values.

        Examples:
            >>> Condition(BodyPath("type", "", ("type",)), ("refund", "invoice.*")).pattern
            '^(?i:refund|invoice\\..+)$'
        """
        texts = (re.escape(one.removesuffix("*")) + ".+" * one.endswith("*") for one in self.values)
        return f"^(?i:{'|'.join(texts)})$"


def steps_of(written: str) -> tuple[str | int | tuple[str, str], ...]:
    """Returns the steps of a path; an empty tuple where the path cannot be parsed.

    Examples:
        >>> steps_of("customer.address.zip"), steps_of("codes[0]"), steps_of("notes[name=click_id].value")
        (('customer', 'address', 'zip'), ('codes', 0), ('notes', ('name', 'click_id'), 'value'))
        >>> steps_of("a..b"), steps_of("[0]"), steps_of("order[total]")
        ((), (), ())
    """
    found = list(_STEP.finditer(written))
    is_whole = "".join(step[0] for step in found) == written
    if not is_whole or not found or not found[0][1]:
        return ()
    return tuple(step[1] or (int(step[2]) if step[2] else (step[3], step[4])) for step in found)
