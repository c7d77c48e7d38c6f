"""The limits of rejected and of unread records: a command that exceeds one does its work, and ends with exit code 3."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple

import typer

from etl.cli import messages
from etl.errors import UsageError, plural

MaxRejected = Annotated[str | None, typer.Option(metavar="N|P%", help="Exit 3 if more records are rejected.")]
MaxUnread = Annotated[
    str | None,
    typer.Option(metavar="N|P%", help="Exit 3 if more records of an input are postbacks that nothing read."),
]

#: Inputs with unread postbacks that are named each.
_NAMED: Final = 3


class Limits(NamedTuple):
    """The limits of a command, as typed."""

    max_rejected: str | None
    max_unread: str

    @classmethod
    def of(cls, max_rejected: str | None, max_unread: str | None) -> Limits:
        """Reads the limits before any work.

        Raises:
            UsageError: One is neither a number nor a share.
        """
        limits = cls(max_rejected, max_unread or "0")
        limits._rejected()
        limits._unread()
        return limits

    def _rejected(self) -> Callable[[int], float]:
        return _read("--max-rejected", self.max_rejected or "100%")

    def _unread(self) -> Callable[[int], float]:
        return _read("--max-unread", self.max_unread)

    def enforce(self, rejected: int, judged: int, inputs: list[dict[str, Any]], nevertheless: str) -> None:
        """Warns of unread postbacks, and ends the command with exit code 3 if a limit is exceeded.

        Args:
            rejected: How many records were rejected.
            judged: How many records were accepted or rejected.
            inputs: The inputs of a summary or report, each with `records` and `unread_postbacks`.
            nevertheless: A sentence that says what was done.

        Source: rules 1.3d.
        """
        if rejected > self._rejected()(judged):
            told = f"{plural(rejected, 'record')} rejected; --max-rejected {self.max_rejected} allows fewer."
            messages.warn(f"{told} {nevertheless}", exit_code=3)
            raise typer.Exit(3)
        unread = [item for item in inputs if item.get("unread_postbacks")]
        for item in unread[:_NAMED]:
            messages.warn(
                f"{item['path']}: {item['unread_postbacks']:,} of {item['records']:,} records hold the collect path,"
                " but no request was read from them; their rejections say what would read them."
            )
        if len(unread) > _NAMED:
            messages.warn(f"{plural(len(unread) - _NAMED, 'more input has', 'more inputs have')} such records.")
        if any(item["unread_postbacks"] > self._unread()(item["records"]) for item in unread):
            messages.warn(f"--max-unread {self.max_unread} allows fewer unread postbacks. {nevertheless}", exit_code=3)
            raise typer.Exit(3)


def _read(option: str, text: str) -> Callable[[int], float]:
    """Returns how many of a number of records an option allows."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%?)", text.strip())
    if not match or not (match[2] or match[1].isdigit()):
        raise UsageError(f"{option} {text!r} is neither a number nor a share.", "Give 100 or 2.5%.")
    number = float(match[1])
    return lambda judged: number / 100 * judged if match[2] else number
