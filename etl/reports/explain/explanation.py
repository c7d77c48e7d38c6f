"""Defines the explanation of one record, as plain data for a terminal, a pipe or a program."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

import polars as pl

from etl.privacy.addresses import ShownText
from etl.reports.display import as_html

#: `str` while the statements are found, `ShownText` in an explanation.
Text = TypeVar("Text", bound=str)


class Line(NamedTuple, Generic[Text]):
    """One statement.

    Attributes:
        what: The subject: a column, a field or an item.
        value: The value of the subject; None if it has no value.
        why: How the value came about; empty if the value needs no explanation.
        source: The sentence of the page, or the ruling, that the statement rests on.
    """

    what: Text
    value: Text | None
    why: Text
    source: Text


class Step(NamedTuple, Generic[Text]):
    """The statements about one group of rules."""

    name: str
    lines: tuple[Line[Text], ...]


class ParameterUse(NamedTuple, Generic[Text]):
    """How one parameter is used for one field that it could fill.

    Attributes:
        parameter: The parameter's name, as sent.
        value: The parameter's value, masked if it is personal.
        folded: The folded name, which is compared with the names of core fields.
        field: The field, container of items or passthrough that the name stands for; None if the name is not read.
        use: A code of `wording.USES`.
        instead: The known name that is nearest, or the parameter that fills the field instead.
        source: The sentence of the page, or the ruling, that the use rests on.
    """

    parameter: Text
    value: Text
    folded: Text
    field: Text | None
    use: Text
    instead: Text | None
    source: Text


class Explanation(NamedTuple):
    """What one record becomes, in the order of the rules.

    Attributes:
        record: How the record was read.
        ruleset: Name and digest of the rules.
        parameters: One row per parameter and field.
        steps: The later rules, in their order.
        outcome: `conversion`, `rejection` or `skipped`.
        tables: The rows that the record becomes: table -> rows, each column -> value.
        notes: Other remarks.
    """

    record: Step[ShownText]
    ruleset: dict[str, str]
    parameters: tuple[ParameterUse[ShownText], ...]
    steps: tuple[Step[ShownText], ...]
    outcome: str
    tables: dict[str, list[dict[str, Any]]]
    notes: tuple[str, ...]

    def _repr_html_(self) -> str:
        lines = [(step.name, *line) for step in (self.record, *self.steps) for line in step.lines]
        steps = pl.DataFrame(lines, schema=["step", *Line._fields], orient="row")
        uses = pl.DataFrame(self.parameters, schema=list(ParameterUse._fields), orient="row")
        return as_html(self.outcome, self.notes, (("Parameters", uses), ("Rules", steps)))

    def as_data(self) -> dict[str, Any]:
        """Converts the explanation to dicts and lists."""
        return {
            "outcome": self.outcome,
            "ruleset": self.ruleset,
            "record": [line._asdict() for line in self.record.lines],
            "parameters": [use._asdict() for use in self.parameters],
            "steps": [{"name": step.name, "lines": [line._asdict() for line in step.lines]} for step in self.steps],
            "tables": self.tables,
            "notes": list(self.notes),
        }
