"""Redacts raw records again by the traits that another ruleset adds (rules 9.1)."""

from __future__ import annotations

from etl.options import Pii
from etl.privacy.named_values import steps_of, traits_of
from etl.privacy.shown_texts import NamesRedactor
from etl.rules.ruleset import Ruleset


class AddedTraitsRedactor(NamesRedactor):
    """Redacts only the traits that a ruleset adds to the page's, and leaves values that are already redacted."""

    def __init__(self, ruleset: Ruleset, pii: Pii) -> None:
        super().__init__(ruleset, pii)
        page = traits_of(Ruleset())
        self.traits = {name: trait for name, trait in traits_of(ruleset).items() if name not in page}

    def _trait(self, key: str) -> str | None:
        """Returns the added trait of a folded name, by its last part or by one above it."""
        steps = steps_of(key)
        return self._named(steps[-1]) or self._inherited(steps)
