"""Redacts all regular JSON records of a batch at once, with the same result as `redactor.Redactor`.

`JsonValues` finds the position of every value, and the few distinct names decide which values are personal. Only
suspect values are redacted one at a time: strings with escapes, and strings that may contain an address, a form, a URL
or JSON. A record is regular if `JsonValues` splits it and none of its names contains an address.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.columnar import json_tokenizer
from etl.columnar.json_index import JsonValues
from etl.columnar.splices import Splices, spliced
from etl.columnar.string_buffers import (
    MAY_BE_BLANK,
    Bytes,
    Positions,
    Truths,
    first_bytes,
    join_bytes,
)
from etl.options import Pii
from etl.privacy.addresses import MARK, PERSONAL_VALUES, replacements
from etl.privacy.base64_texts import BASE64, BASE64_BYTES, decoded_base64
from etl.privacy.named_values import ITEM_NAME, is_impersonal
from etl.privacy.personal_names import CLIENT, LOG_USERS, is_of_log
from etl.privacy.redactor import Redactor
from etl.privacy.templates import address_positions, fill_templates, nesting_positions, templates_of
from etl.rules.ruleset import fold

#: Fewer records are redacted one at a time, which is faster.
MIN_BATCH: Final = 50

_OPENERS: Final = tuple(b"{[")

#: Bytes without which a string is no form, URL or JSON.
_NESTING_BYTES: Final = np.isin(np.arange(256), tuple(b"=?{["))

#: A time: a text with a colon that announces no value, as `phone: 555 0187` does.
_TIME: Final = r"^[0-9TZ:., +-]*$"

#: First bytes of XML and of literals, or of blanks before them.
_STRUCTURED_BEGINS: Final = MAY_BE_BLANK | np.isin(np.arange(256), tuple(b"<("))

#: Bytes of the trailing zeros of decimals, which follow the span of a number.
_ZEROS: Final = np.isin(np.arange(256), tuple(b".0"))


class _Personal(NamedTuple):
    """Personal values of a batch.

    Attributes:
        places: Indices into the `JsonValues`.
        objects: Index of the innermost object that contains each value.
        traits: Trait of each value, as `Redactor.trait` returns it.
    """

    places: Positions
    objects: Positions
    traits: pl.Series


def redact_objects(raws: pl.Series, redactor: Redactor, pii: Pii) -> tuple[Positions, pl.Series]:
    """Redacts the regular JSON records among the given records.

    Args:
        raws: String without nulls.
        redactor: Decides which values are personal.
        pii: `hash` or `drop`.

    Returns:
        The indices of the regular records, ascending, and their redacted texts. Both are empty if there are fewer than
        MANY JSON records.
    """
    is_object = np.isin(first_bytes(raws), _OPENERS) & ~raws.str.contains(MARK, literal=True).to_numpy()
    numbers = np.flatnonzero(is_object)
    if len(numbers) < MIN_BATCH or ITEM_NAME in redactor.containers:  # in such a ruleset an item's name may hold items
        return numbers[:0], raws.clear()
    buffer, starts, ends = _without_blanks(raws.gather(numbers))
    values, is_regular = JsonValues.of(buffer, starts, ends)
    is_shown = [redactor.name(name) == name for name in values.names]
    is_regular[values.rows[~np.array(is_shown, np.bool_)[values.numbers]]] = False
    is_regular[values.rows[_log_users(buffer, values)]] = False
    personal = _find_personal(values, redactor)
    is_hidden = np.zeros(len(values.rows), np.bool_)
    is_hidden[personal.places] = True
    token_ends = _token_ends(buffer, values)
    zeros = np.flatnonzero((token_ends > values.ends) & ~is_hidden)
    splices = [
        Splices(
            values.starts[personal.places], token_ends[personal.places], _replacements(buffer, values, personal, pii)
        ),
        Splices(values.ends[zeros], token_ends[zeros], pl.Series([""]).new_from_index(0, len(zeros))),
        *_redact_suspects(buffer, values, _suspects(buffer, values, is_hidden, redactor), redactor, pii),
    ]
    regular = np.flatnonzero(is_regular)
    return numbers[regular], spliced(buffer, starts[regular], ends[regular], Splices.merged(splices))


def _redact_suspects(
    buffer: Bytes, values: JsonValues, suspects: Positions, redactor: Redactor, pii: Pii
) -> tuple[Splices, ...]:
    """Returns the replacements of suspect values: texts that are JSON are redacted together, other texts one by one."""
    labels = _labels(values, redactor)
    unlabelled = suspects[labels[suspects] != "items"]
    inner, texts = redact_objects(values.texts(buffer, unlabelled), redactor, pii)
    objects = unlabelled[inner]
    others = np.setdiff1d(suspects, objects)
    written = []
    for label in ("", "body", "items"):
        index = others[labels[others] == label]
        quotes = values.kinds[index] <= json_tokenizer.ESCAPED
        write = partial(redactor.json_text, label=label)
        written.append(templates_of(buffer, values.starts[index] - quotes, values.ends[index] + quotes, write))
    return Splices(values.starts[objects], values.ends[objects], _quoted(texts)), *fill_templates(
        written, redactor.fill
    )


def _labels(values: JsonValues, redactor: Redactor) -> npt.NDArray[np.str_]:
    """Returns for each value what its name says that it is, see `Redactor.label`."""
    return np.array([redactor.label(name) for name in values.names], "U5")[values.numbers]


def _quoted(texts: pl.Series) -> pl.Series:
    """Escapes JSON texts for use inside a JSON string; JSON text needs no escapes but for backslashes and quotes."""
    return texts.str.replace_all("\\", r"\\", literal=True).str.replace_all('"', r"\"", literal=True)


def _without_blanks(raws: pl.Series) -> tuple[Bytes, Positions, Positions]:
    """Returns the records without white space around punctuation: a buffer, and the start and end of each record."""
    joined_raws, ends = join_bytes(raws, " ")
    buffer, written_ends = np.empty_like(joined_raws), np.empty_like(ends)
    json_tokenizer.drop_blanks(joined_raws.data, np.append(0, ends + 1)[:-1], ends, buffer.data, written_ends)
    return buffer[: written_ends[-1] + 1 if len(raws) else 0], np.append(0, written_ends + 1)[:-1], written_ends


def _find_personal(values: JsonValues, redactor: Redactor) -> _Personal:
    """Finds the personal values: non-empty scalars whose name, or one above, is that of a trait; no names of items."""
    traits = pl.Series([redactor.trait(name, str) for name in values.names], dtype=pl.String)
    keys = [fold(name) for name in values.names]
    named = np.flatnonzero(traits.is_not_null().to_numpy()[values.numbers])
    objects = _objects_of(values, named)
    is_label = np.array([key == ITEM_NAME for key in keys], np.bool_)[values.numbers[named]]
    is_item = np.array([key in redactor.containers for key in keys], np.bool_)[values.numbers[objects]]
    named = named[~(is_label & is_item)]
    givers = np.full(len(values.rows), -1)
    givers[named] = named
    if (values.kinds[named] == json_tokenizer.OBJECT).any():
        _inherit(givers, values)
    is_sent = (values.kinds < json_tokenizer.NULL) & (values.ends > values.starts)
    index = np.flatnonzero(is_sent & (givers >= 0))
    return _Personal(index, _objects_of(values, index), traits.gather(values.numbers[givers[index]]))


def _objects_of(values: JsonValues, index: Positions) -> Positions:
    """Returns the innermost object that contains each of the values; arrays do not count."""
    objects = values.parents[index]
    while (is_array := values.kinds[objects] == json_tokenizer.ARRAY).any():
        objects = np.where(is_array, values.parents[objects], objects)
    return objects


def _inherit(givers: Positions, values: JsonValues) -> None:
    """Gives each value without a trait the index of the nearest object above it that has one.

    The distance to the values that are asked doubles in each turn. Names of values that are impersonal inherit nothing.
    """
    ends = np.array([is_impersonal(name) for name in values.names], np.bool_)[values.numbers]
    above = np.where(ends, -1, values.parents)
    while (is_asking := (givers < 0) & (above >= 0)).any():
        asking = np.flatnonzero(is_asking)
        asked = above[asking]
        givers[asking] = givers[asked]
        above[asking] = above[asked]


def _log_users(buffer: Bytes, values: JsonValues) -> Positions:
    """Returns the values that may be users who are logged in, if the records are those of a log."""
    keys = [fold(name) for name in values.names]
    is_user = np.array([key in LOG_USERS for key in keys], np.bool_)
    if not is_user.any() or not is_of_log(keys):
        return values.rows[:0]
    is_sent = (values.ends > values.starts + 1) | (buffer[values.starts] != ord("-"))
    return np.flatnonzero(is_user[values.numbers] & (values.ends > values.starts) & is_sent)


def _replacements(buffer: Bytes, values: JsonValues, personal: _Personal, pii: Pii) -> pl.Series:
    """Returns the replacement of each personal value; in quotes for values that are not strings."""
    hashed = np.flatnonzero((personal.traits != CLIENT).to_numpy())
    sent = values.texts(buffer, personal.places[hashed]).str.replace_all(MARK, "\ufffd", literal=True)
    countries = _countries(buffer, values, personal.objects[hashed])
    found = pl.DataFrame([personal.traits.gather(hashed), sent, countries], PERSONAL_VALUES)
    texts = pl.Series(["-"]).new_from_index(0, len(personal.places)).scatter(hashed, replacements(found, pii))
    bare = np.flatnonzero(values.kinds[personal.places] > json_tokenizer.ESCAPED)
    return texts.scatter(bare, '"' + texts.gather(bare) + '"')


def _countries(buffer: Bytes, values: JsonValues, objects: Positions) -> pl.Series:
    """Returns the `country` of each object, if it is a string; else null."""
    is_country = (values.names == "country").to_numpy()[values.numbers] & (values.kinds <= json_tokenizer.ESCAPED)
    index = np.flatnonzero(is_country)
    index = index[values.kinds[values.parents[index]] == json_tokenizer.OBJECT]
    of_object = np.full(len(values.rows), -1)
    of_object[values.parents[index]] = index
    found = np.flatnonzero(of_object[objects] >= 0)
    countries = pl.Series([None], dtype=pl.String).new_from_index(0, len(objects))
    return countries.scatter(found, values.texts(buffer, of_object[objects[found]]))


def _token_ends(buffer: Bytes, values: JsonValues) -> Positions:
    """Returns the end of each value, trailing zeros of decimals included."""
    ends = values.ends.copy()
    longer = np.flatnonzero((values.kinds == json_tokenizer.SCALAR) & _ZEROS[buffer[ends]])
    while len(longer):
        ends[longer] += 1
        longer = longer[_ZEROS[buffer[ends[longer]]]]
    return ends


def _suspects(buffer: Bytes, values: JsonValues, is_hidden: Truths, redactor: Redactor) -> Positions:
    """Returns the indices of the suspect values.

    Suspect are bodies, strings with escapes or with bytes of an address, form, URL or JSON, strings that begin as XML
    or a literal, or that have a colon and are no time, base64, and numbers that are not in plain notation.
    """
    strings = np.flatnonzero((values.kinds <= json_tokenizer.ESCAPED) & ~is_hidden)

    def holding(places: Positions) -> Positions:
        """Returns the strings that hold one of the places."""
        found = np.searchsorted(values.starts[strings], places, side="right") - 1
        is_within = (found >= 0) & (places < np.append(values.ends[strings], 0)[found])
        return np.unique(strings[found[is_within]])

    is_suspect = ~is_hidden & ((values.kinds == json_tokenizer.ESCAPED) | (values.kinds == json_tokenizer.NUMBER))
    is_suspect[
        holding(
            np.concatenate(
                [address_positions(buffer), np.flatnonzero(_NESTING_BYTES[buffer]), nesting_positions(buffer)]
            )
        )
    ] = True
    is_suspect[strings[_STRUCTURED_BEGINS[buffer[values.starts[strings]]]]] = True
    colons = np.flatnonzero(buffer == ord(":"))
    announcing = holding(colons[buffer[colons - 1] != ord('"')])  # a colon behind a quote ends a name
    announcing = announcing[~is_suspect[announcing]]
    is_suspect[announcing[~values.texts(buffer, announcing).str.contains(_TIME).to_numpy()]] = True
    is_suspect[strings[_labels(values, redactor)[strings] == "body"]] = True
    long = strings[((values.ends - values.starts)[strings] >= BASE64_BYTES) & ~is_suspect[strings]]
    is_suspect[long[_are_base64(values.texts(buffer, long))]] = True
    return np.flatnonzero(is_suspect)


def _are_base64(texts: pl.Series) -> Truths:
    """Returns whether each text is the base64 of a text."""
    is_found = texts.str.contains(f"^{BASE64}$").to_numpy(writable=True)
    places = np.flatnonzero(is_found)
    is_found[places] = [decoded_base64(text) is not None for text in texts.gather(places)]
    return is_found
