"""The options `--expect` and `--expect-fail` of loads: warn of fewer postbacks than the same weekdays before had."""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

import typer

from etl.cli import messages, options
from etl.errors import EtlError, plural

Expect = Annotated[
    str | None,
    typer.Option(metavar="P%", help="Warn of integrations with less than this share of the same weekdays before."),
]
ExpectFail = Annotated[
    bool, typer.Option("--expect-fail", help="Exit 3 where --expect warns; without --expect, below 50%.")
]
_DEFAULT: Final = "50%"


class Expectation(NamedTuple):
    """The share that is expected, as typed and from 0 to 1, and whether the command fails below it; None: no check."""

    typed: str
    share: float | None
    is_required: bool

    @classmethod
    def of(cls, expect: str | None, *, is_required: bool) -> Expectation:
        """Reads the options.

        Raises:
            UsageError: The text is no share.
        """
        typed = expect or (_DEFAULT if is_required else None)
        return cls(typed or "", options.read_share(typed, "--expect"), is_required)

    def check(self, into: str, report: dict[str, Any]) -> bool:
        """Adds to a load's report what was found and expected, and warns; returns whether the command has to fail."""
        if self.share is None or not report["run_id"]:
            return False
        from etl.warehouse.expectations import compare_with_weeks_before

        try:
            found = compare_with_weeks_before(into, report)
        except EtlError as error:  # the load is done, whatever came of this
            messages.warn(f"--expect could not compare: {error.problem}")
            return False
        report["expected"] = [one._asdict() for one in found]
        few = [one for one in found if one.share < self.share]
        for one in few:
            messages.warn(
                f"{one.name} has {plural(one.postbacks, 'postback')} from {one.since:%Y-%m-%d %H:%M} to "
                f"{one.until:%Y-%m-%d %H:%M} UTC. The same weekdays before had {one.expected:,.0f}, and --expect "
                f"{self.typed} asks for {one.expected * self.share:,.0f}.",
                **({"exit_code": 3} if self.is_required else {}),
            )
        return self.is_required and bool(few)
