"""Finds parameters that a value swallowed because their separator got lost (rules 2.7)."""

from __future__ import annotations

import re
from functools import lru_cache
from html.entities import html5
from typing import Final, NamedTuple

from etl.rules.parameter_names import meaning_of
from etl.rules.ruleset import Ruleset

#: Entities that browsers decode without `;`: each character, and the letters that it replaced.
_EATEN: Final = {html5[name]: name for name in sorted(html5) if not name.endswith(";") and html5[name] not in '&<>"'}
_NAMED: Final = re.compile(r"(\?|;|&amp;|[" + "".join(map(re.escape, _EATEN)) + r"])(?:amp;)*([A-Za-z0-9_-]{1,40})=")


class Swallowed(NamedTuple):
    """Names of parameters within a value, and the text before the first of them."""

    names: tuple[str, ...]
    before: str


@lru_cache(maxsize=4096)
def find_swallowed(text: str, ruleset: Ruleset) -> Swallowed | None:
    """Finds known names behind `?`, `;`, `&amp;`, or a character that an entity made of `&` and the name's beginning.

    Examples:
        >>> find_swallowed("10¤cy=EUR", Ruleset()), find_swallowed("a?value=1", Ruleset()).names
        (Swallowed(names=('currency',), before='10'), ('value',))
        >>> find_swallowed("https://example.com/?a=1;b=2", Ruleset())
    """
    found = [(match.start(), _EATEN.get(match[1], "") + match[2]) for match in _NAMED.finditer(text)]
    known = [(place, name) for place, name in found if _is_known(name, ruleset)]
    return Swallowed(tuple(dict.fromkeys(name for _, name in known)), text[: known[0][0]]) if known else None


def _is_known(name: str, ruleset: Ruleset) -> bool:
    """Returns whether a name fills a core field, conversion_type or a trait."""
    meaning = meaning_of(name, ruleset)
    return meaning.core >= 0 or meaning.exact >= 0
