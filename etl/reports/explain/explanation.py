"""What is told of one record: plain data, the same for a terminal, a pipe and a program."""

from __future__ import annotations

from typing import Any, NamedTuple


class Line(NamedTuple):
    """One statement.

    Attributes:
        what: What it is about: a column, a field, an item.
        value: What it is; None where there is nothing.
        why: How that came to be; empty where the value says it all.
        source: The sentence of the page or the ruling it rests on.
    """

    what: str
    value: str | None
    why: str
    source: str


class Step(NamedTuple):
    """The statements about one group of rules."""

    name: str
    lines: tuple[Line, ...]


class ParameterUse(NamedTuple):
    """What became of one parameter, for one field that it could have filled.

    Attributes:
        parameter: Its name as spelled.
        value: Its value, masked where it is personal.
        folded: The name that core fields compare.
        field: The field, container or passthrough that it is for; None where nothing reads it.
        use: A code of `wording.USES`.
        instead: The name that would have worked, or the parameter that won.
        source: The sentence of the page or the ruling it rests on.
    """

    parameter: str
    value: str
    folded: str
    field: str | None
    use: str
    instead: str | None
    source: str


class Explanation(NamedTuple):
    """One record, told in the order of the rules.

    Attributes:
        record: How it was read.
        ruleset: Name and digest of the rules.
        parameters: One row a parameter and field.
        steps: The rules after that, in their order.
        outcome: `conversion`, `rejection` or `skipped`.
        tables: Table -> rows that the record becomes, column -> value.
        notes: What else there is to know.
    """

    record: Step
    ruleset: dict[str, str]
    parameters: tuple[ParameterUse, ...]
    steps: tuple[Step, ...]
    outcome: str
    tables: dict[str, list[dict[str, Any]]]
    notes: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """The same as dicts and lists."""
        return {
            "outcome": self.outcome,
            "ruleset": self.ruleset,
            "record": [line._asdict() for line in self.record.lines],
            "parameters": [use._asdict() for use in self.parameters],
            "steps": [{"name": step.name, "lines": [line._asdict() for line in step.lines]} for step in self.steps],
            "tables": self.tables,
            "notes": list(self.notes),
        }
