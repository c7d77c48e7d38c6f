"""Parameters for the plain-Python peer: from queries and bodies, what their names fill, and the fields of items."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

from plain_page import CORE, EXACT, ITEM_CONTAINERS, ITEM_FIELDS, Field
from plain_texts import amount, scalar

#: Where the winner of each field stands in a postback's list of winners.
SLOTS: Final = {name: i for i, name in enumerate([*(f"core {field.name}" for field in CORE), *(f.name for f in EXACT)])}
CONTAINERS: Final = tuple(name.replace("_", "") for name in ITEM_CONTAINERS)


class Meaning(NamedTuple):
    """What a parameter's name fills: (slot, rank) of fields, the rank of an items array, a passthrough's name."""

    fills: tuple[tuple[int, int], ...] = ()
    container: int = -1
    passthrough: str = ""
    is_commission: bool = False
    is_other: bool = False  # more than a field


def fold(name: str) -> str:
    """What a core field's name is compared as."""
    return name.lower().replace("_", "").replace("-", "") if name.isascii() else name


def rank_in(field: Field, name: str) -> int:
    """Where a name stands in a field's list; -1 where it does not."""
    return field.accepted.index(name) if name in field.accepted else -1


class Meanings(dict[str, Meaning]):
    """Name as spelled -> its meaning, worked out when it is first seen."""

    def __missing__(self, name: str) -> Meaning:
        folded = fold(name)
        core = [(SLOTS[f"core {field.name}"], rank_in(field, folded)) for field in CORE]
        exact = [(SLOTS[field.name], rank_in(field, name)) for field in EXACT]
        fills = tuple((slot, rank) for slot, rank in (*core, *exact) if rank >= 0)
        container = CONTAINERS.index(folded) if folded in CONTAINERS else -1
        passthrough = name.removeprefix("xat_") if name.startswith("xat_") else ""
        other = (container, passthrough, folded == "commission")
        self[name] = meaning = Meaning(fills, *other, is_other=other != (-1, "", False))
        return meaning


unquoted: Final = lru_cache(maxsize=65_536)(unquote_plus)


def query_params(query: str) -> list[tuple[str, Any]]:
    """Names and texts of a query, decoded."""
    params = []
    for pair in query.split("&"):
        name, _, text = pair.partition("=")
        if "%" in text or "+" in text:
            text = unquoted(text)
        params.append((unquoted(name) if "%" in name or "+" in name else name, text))
    return params


def body_params(body: Any) -> list[tuple[str, Any]] | str:
    """The parameters of a body: an object, JSON text, or a form; what is wrong with it if it is malformed."""
    if isinstance(body, str) and body.lstrip(" \t\r\n")[:1] in ("{", "["):
        try:
            body = json.loads(body)
        except json.JSONDecodeError as error:
            return f"The body is JSON that breaks at character {error.pos + 1}"
    if isinstance(body, dict):
        return list(body.items())
    if body is None or isinstance(body, str):
        return query_params(body) if body else []
    return "The body is JSON, but not an object"


ITEM_NAMES: Final = {fold(name): (i, rank) for i, f in enumerate(ITEM_FIELDS) for rank, name in enumerate(f.accepted)}


@lru_cache(maxsize=4096)
def item_order(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """For each field of an item the names that can fill it, the best first."""
    found = [(*ITEM_NAMES.get(fold(name), (-1, 0)), place, name) for place, name in enumerate(names)]
    return tuple(tuple(name for field, *_, name in sorted(found) if field == i) for i in range(len(ITEM_FIELDS)))


def item_texts(element: dict[str, Any]) -> tuple[str | None, ...]:
    """The texts of an item's fields, its numbers as amounts."""
    texts: list[str | None] = []
    for names in item_order(tuple(element)):
        values = (element[name] for name in names)
        sent = (v if isinstance(v, str) else scalar(v) for v in values if not isinstance(v, (dict, list, type(None))))
        texts.append(next((text for text in sent if text and not text.isspace()), None))
    return (*texts[:3], amount(texts[3]), amount(texts[4]))
