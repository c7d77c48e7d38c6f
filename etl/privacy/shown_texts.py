"""Texts of records that may be shown: details of issues, names of parameters, statements of `explain` (rules 9.1).

The addresses in them are hidden as in every column, and what stands in them behind a personal name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import polars as pl

from etl.columnar import json_codec
from etl.columnar.factorize import factorize
from etl.options import Pii
from etl.privacy.addresses import DROPPED, HASHED, MARK, ShownText, hide_addresses
from etl.privacy.redactor import NAME_LENGTH, PLAIN_NAME, Redactor
from etl.rules.ruleset import Ruleset

#: Every text in which a name announces a value contains one of these: a pair, JSON, an escape, XML, or `name: `.
_ANNOUNCES: Final = r"""[=%{<\\]|[^\x00-@][\]"']{0,2} ?:"""
#: Every text with an address contains its sign, or what begins an escape.
_MAY_BE_PERSONAL: Final = re.compile(f"@|{_ANNOUNCES}")


class NamesRedactor(Redactor):
    """Redacts by their names the values in texts whose addresses are hidden already, and leaves hidden values."""

    def scrub(self, text: str) -> str:
        """Returns the text unchanged: an earlier redaction has removed its addresses."""
        return text

    def _digits(self, text: str) -> str:
        """Returns the text unchanged: an earlier redaction has removed its long numbers."""
        return text

    def _held(self, trait: str | None, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        """Returns a placeholder for a personal value, unless the value is already redacted."""
        is_done = text == DROPPED or decode(text).startswith(HASHED)
        return text if is_done else super()._held(trait, text, country, decode)

    def shown(self, text: str) -> str:
        """Returns the template of a text of any kind."""
        hidden = self._nested(text.replace(MARK, "\ufffd"))
        return text if json_codec.is_equivalent(text, hidden) else hidden


def shown_texts(texts: pl.Series, pii: Pii, ruleset: Ruleset) -> pl.Series:
    """Replaces what is personal in texts by hashes; with `drop` such a text becomes null.

    Args:
        texts: String, decoded.
        pii: `keep` changes nothing.
        ruleset: Its aliases of personal traits are personal too.

    Examples:
        >>> texts = pl.Series(["10&first_name=Ann", "city Oslo", '{"a":{"city":"Oslo"}}', None])
        >>> [text and text[:20] for text in shown_texts(texts, "hash", Ruleset())]
        ['10&first_name=sha256', 'city Oslo', '{"a":{"city":"sha256', None]
    """
    if pii == "keep" or texts.null_count() == len(texts):
        return texts
    return _redacted(
        hide_addresses(texts, pii), texts.str.contains(_ANNOUNCES), lambda: NamesRedactor(ruleset, pii), pii
    )


def shown_text(text: str, pii: Pii, ruleset: Ruleset) -> ShownText:
    """Replaces what is personal in one text by hashes; with `drop` such a text is `redacted`."""
    if pii == "keep" or not _MAY_BE_PERSONAL.search(text):
        return ShownText(text)
    return ShownText(shown_texts(pl.Series([text]), pii, ruleset).fill_null(DROPPED)[0])


def shown_names(names: pl.Series, pii: Pii, ruleset: Ruleset) -> pl.Series:
    """Replaces what is personal in names of parameters by hashes; with `drop` such a name becomes null.

    A name with marks that names do not have is a part of a body that is no form, such as XML.
    """
    if pii == "keep":
        return names
    known = names.unique().drop_nulls()
    odd = [name for name in known if len(name) > NAME_LENGTH or not PLAIN_NAME.fullmatch(name)]
    hidden = _redacted(names, names.is_in(odd), lambda: _NameRedactor(ruleset, pii), pii) if odd else names
    return hide_addresses(hidden, pii)


class _NameRedactor(Redactor):
    """Redacts names of parameters."""

    def shown(self, text: str) -> str:
        """Returns the template of a name."""
        return self.name(text.replace(MARK, "\ufffd"))


def _redacted(
    texts: pl.Series, is_suspect: pl.Series, make: Callable[[], NamesRedactor | _NameRedactor], pii: Pii
) -> pl.Series:
    """Replaces what is personal in the suspect texts, each distinct one once."""
    suspects = is_suspect.fill_null(value=False).arg_true()
    suspects = suspects.filter(texts.gather(suspects).is_not_null())
    if not len(suspects):
        return texts
    distinct, numbers = factorize(texts.gather(suspects))
    redactor = make()
    templates = [redactor.shown(text) for text in distinct]
    hidden = redactor.fill(templates)
    if pii == "drop":
        hidden = hidden.set(pl.Series([MARK in template for template in templates]), None)
    return texts.clone().scatter(suspects, hidden.gather(numbers))
