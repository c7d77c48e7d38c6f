"""JSON records without personal values, all regular ones of a batch at once.

Values are found by their places, and what is personal among them by the few distinct names. Only what may hold more
than it shows is looked at one by one: a string with an escape, or with what may be an address, a form, a URL or JSON.
Regular is what `json_values` splits, with names in which nothing is to be hidden.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar import json_tokenizer
from etl.columnar.json_index import JsonValues
from etl.columnar.string_buffers import Bytes, Positions, Splices, Truths, first_bytes, glued, spliced
from etl.options import Pii
from etl.privacy.redactor import ADDRESS, MARK, VALUES, Redactor, stand_ins
from etl.privacy.templates import address_places, filled_in, templates_of
from etl.rules.ruleset import fold

#: So many records are worth looking at all at once.
MANY: Final = 50

_OPENERS: Final = tuple(b"{[")

#: What a string holds that may be a form, a URL or JSON.
_TELLING: Final = np.isin(np.arange(256), tuple(b"=?{["))

#: What follows the text of a number that is written with zeros at the end of its decimals.
_ZEROS: Final = np.isin(np.arange(256), tuple(b".0"))

#: The member of an item that is no person's name.
_ITEM_NAME: Final = "name"


class _Personal(NamedTuple):
    """Personal values: their places among all, the object that each stands in, what each is by `Redactor.trait`."""

    places: Positions
    objects: Positions
    traits: pl.Series


def redact_objects(raws: pl.Series, redactor: Redactor, pii: Pii) -> tuple[Positions, pl.Series]:
    """The regular JSON records among some.

    Args:
        raws: String, nothing null.
        redactor: Knows what is personal.
        pii: `hash` or `drop`.

    Returns:
        Which records are regular, ascending, and the text of each as the redactor would write it; none where there are
        few.
    """
    is_object = np.isin(first_bytes(raws), _OPENERS) & ~raws.str.contains(MARK, literal=True).to_numpy()
    numbers = np.flatnonzero(is_object)
    if len(numbers) < MANY or _ITEM_NAME in redactor.containers:  # else an item's name may hold items
        return numbers[:0], raws.clear()
    buffer, starts, ends = _without_blanks(raws.gather(numbers))
    values, is_regular = JsonValues.of(buffer, starts, ends)
    is_shown = [redactor.scrub(f'"{name}"') == f'"{name}"' for name in values.names]
    is_regular[values.rows[~np.array(is_shown, np.bool_)[values.numbers]]] = False
    personal = _personal(values, redactor)
    is_hidden = np.zeros(len(values.rows), np.bool_)
    is_hidden[personal.places] = True
    token_ends = _token_ends(buffer, values)
    zeros = np.flatnonzero((token_ends > values.ends) & ~is_hidden)
    splices = [
        Splices(values.starts[personal.places], token_ends[personal.places], _stand_ins(buffer, values, personal, pii)),
        Splices(values.ends[zeros], token_ends[zeros], pl.Series([""]).new_from_index(0, len(zeros))),
        *_rewritten(buffer, values, _suspects(buffer, values, is_hidden), redactor, pii),
    ]
    regular = np.flatnonzero(is_regular)
    return numbers[regular], spliced(buffer, starts[regular], ends[regular], Splices.merged(splices))


def _rewritten(
    buffer: Bytes, values: JsonValues, suspects: Positions, redactor: Redactor, pii: Pii
) -> tuple[Splices, ...]:
    """What takes the place of suspects: of JSON texts all at once, of others one at a time."""
    inner, texts = redact_objects(values.texts(buffer, suspects), redactor, pii)
    objects, others = suspects[inner], np.delete(suspects, inner)
    quotes = values.kinds[others] <= json_tokenizer.ESCAPED
    written = templates_of(buffer, values.starts[others] - quotes, values.ends[others] + quotes, redactor.scalar)
    return Splices(values.starts[objects], values.ends[objects], _quoted(texts)), *filled_in([written], redactor.filled)


def _quoted(texts: pl.Series) -> pl.Series:
    """JSON texts as what a JSON string holds; whatever else wants an escape, they have escaped."""
    return texts.str.replace_all("\\", r"\\", literal=True).str.replace_all('"', r"\"", literal=True)


def _without_blanks(raws: pl.Series) -> tuple[Bytes, Positions, Positions]:
    """The records as a buffer, and where in it they are."""
    glued_raws, ends = glued(raws, " ")
    buffer, written_ends = np.empty_like(glued_raws), np.empty_like(ends)
    json_tokenizer.drop_blanks(glued_raws.data, np.append(0, ends + 1)[:-1], ends, buffer.data, written_ends)
    return buffer[: written_ends[-1] + 1 if len(raws) else 0], np.append(0, written_ends + 1)[:-1], written_ends


def _personal(values: JsonValues, redactor: Redactor) -> _Personal:
    traits = pl.Series([redactor.trait(name, str) for name in values.names], dtype=pl.String)
    is_sent = (values.kinds < json_tokenizer.NULL) & (values.ends > values.starts)
    index = np.flatnonzero(is_sent & traits.is_not_null().to_numpy()[values.numbers])
    objects = values.holders[index]
    while (is_array := values.kinds[objects] == json_tokenizer.ARRAY).any():
        objects = np.where(is_array, values.holders[objects], objects)
    keys = [fold(name) for name in values.names]
    is_label = np.array([key == _ITEM_NAME for key in keys], np.bool_)[values.numbers[index]]
    is_item = np.array([key in redactor.containers for key in keys], np.bool_)[values.numbers[objects]]
    index, objects = index[~(is_label & is_item)], objects[~(is_label & is_item)]
    return _Personal(index, objects, traits.gather(values.numbers[index]))


def _stand_ins(buffer: Bytes, values: JsonValues, personal: _Personal, pii: Pii) -> pl.Series:
    """What takes the place of personal values: within its quotes, or with quotes where it has none."""
    hashed = np.flatnonzero((personal.traits != ADDRESS).to_numpy())
    sent = values.texts(buffer, personal.places[hashed]).str.replace_all(MARK, "\ufffd", literal=True)
    countries = _countries(buffer, values, personal.objects[hashed])
    found = pl.DataFrame([personal.traits.gather(hashed), sent, countries], VALUES)
    texts = pl.Series(["-"]).new_from_index(0, len(personal.places)).scatter(hashed, stand_ins(found, pii))
    bare = np.flatnonzero(values.kinds[personal.places] > json_tokenizer.ESCAPED)
    return texts.scatter(bare, '"' + texts.gather(bare) + '"')


def _countries(buffer: Bytes, values: JsonValues, objects: Positions) -> pl.Series:
    """The `country` of each object, if it is a string; null for none."""
    is_country = (values.names == "country").to_numpy()[values.numbers] & (values.kinds <= json_tokenizer.ESCAPED)
    index = np.flatnonzero(is_country)
    index = index[values.kinds[values.holders[index]] == json_tokenizer.OBJECT]
    of_object = np.full(len(values.rows), -1)
    of_object[values.holders[index]] = index
    found = np.flatnonzero(of_object[objects] >= 0)
    countries = pl.Series([None], dtype=pl.String).new_from_index(0, len(objects))
    return countries.scatter(found, values.texts(buffer, of_object[objects[found]]))


def _token_ends(buffer: Bytes, values: JsonValues) -> Positions:
    """Where each value ends, zeros at the end of decimals included."""
    ends = values.ends.copy()
    longer = np.flatnonzero((values.kinds == json_tokenizer.SCALAR) & _ZEROS[buffer[ends]])
    while len(longer):
        ends[longer] += 1
        longer = longer[_ZEROS[buffer[ends[longer]]]]
    return ends


def _suspects(buffer: Bytes, values: JsonValues, is_hidden: Truths) -> Positions:
    """What may hold more than it shows, or is not written as its text."""
    strings = np.flatnonzero((values.kinds <= json_tokenizer.ESCAPED) & ~is_hidden)
    places = np.concatenate([address_places(buffer), np.flatnonzero(_TELLING[buffer])])
    found = np.searchsorted(values.starts[strings], places, side="right") - 1
    is_within = (found >= 0) & (places < np.append(values.ends[strings], 0)[found])
    is_suspect = ~is_hidden & ((values.kinds == json_tokenizer.ESCAPED) | (values.kinds == json_tokenizer.NUMBER))
    is_suspect[strings[found[is_within]]] = True
    return np.flatnonzero(is_suspect)
