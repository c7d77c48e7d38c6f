"""Redacts raw records again by the traits that another ruleset adds (rules 9.1)."""

from __future__ import annotations

from collections.abc import Callable

from etl.options import Pii
from etl.privacy.addresses import DROPPED, HASHED
from etl.privacy.named_values import steps_of, traits_of
from etl.privacy.redactor import Redactor
from etl.rules.ruleset import Ruleset


class AddedTraitsRedactor(Redactor):
    """Redacts only the traits that a ruleset adds to the page's, and leaves values that are already redacted."""

    def __init__(self, ruleset: Ruleset, pii: Pii) -> None:
        super().__init__(ruleset, pii)
        page = traits_of(Ruleset())
        self.traits = {name: trait for name, trait in traits_of(ruleset).items() if name not in page}

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

    def _trait(self, key: str) -> str | None:
        """Returns the added trait of a folded name, by its last part or by one above it."""
        steps = steps_of(key)
        return self._named(steps[-1]) or self._inherited(steps)
