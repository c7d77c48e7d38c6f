"""The errors of a *run*. A bad record never raises an error: it becomes a row (see `issues`, `rejections`).

An error has two lines: what happened, with the value quoted, and what to do. The command prints these lines and exits
with the error's exit code (the contract's table).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final, Self

#: Credentials in an address: user and password, and the values of parameters that sign or authorise a request.
_CREDENTIALS: Final = re.compile(
    r"(?<=://)(?:[^\s/@'\"]*|[^\s/@:'\"]+:[^\s'\"]*)@"
    r"|(?<=[?&;])((?:x-(?:amz|goog)-(?:signature|credential|security-token)|sig|signature|api_?key|(?:access_)?token"
    r"|(?:ssl)?password|secret)=)[^&;\s'\"]+",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """Returns the text without the credentials of the addresses in it.

    Examples:
        >>> masked("s3://AKIAEXAMPLE:se/cret@bucket/a.log and https://example.com/?sig=abc&v=1")
        's3://***@bucket/a.log and https://example.com/?sig=***&v=1'
    """
    return _CREDENTIALS.sub(lambda match: f"{match[1]}***" if match[1] else "***@", text)


def choices(name: str, known: Iterable[str], what: str) -> str:
    """Returns a hint about an unknown name: the known name that was probably meant, and all known names.

    Examples:
        >>> choices("comined", ["combined", "jsonl"], "Known formats")
        "Did you mean 'combined'? Known formats: combined, jsonl."
    """
    names = list(known)
    return f"{nearest(name, names)}{what}: {', '.join(names)}."


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the question whether the known name was meant that is like an unknown one; empty if none is.

    Examples:
        >>> nearest("comined", ["combined", "jsonl"])
        "Did you mean 'combined'? "
    """
    near = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean {near[0]!r}? " if near else ""


class EtlError(Exception):
    """A run that failed: nothing was published. Its texts hold no credentials.

    Args:
        problem: One line: what happened and where, with the offending value quoted.
        hint: One line: what to do about it.
    """

    exit_code = 1

    def __init__(self, problem: str, hint: str) -> None:
        self.problem = masked(problem)
        self.hint = masked(hint)
        super().__init__(self.problem, self.hint)

    def __str__(self) -> str:
        return f"{visible(self.problem)}\n{visible(self.hint)}"


class InputError(EtlError):
    """An input could not be read to its end."""


class MissingInputError(InputError):
    """An argument names nothing that exists."""


class ChangedInputError(InputError):
    """An input changed between its survey and the end of its reading."""

    @classmethod
    def of(cls, label: str) -> Self:
        """Returns the error for the input of that name."""
        return cls(f"{label} changed while it was read.", "Run again when it no longer changes.")


class OutputError(EtlError):
    """The tables could not be written or published."""

    #: What to do where a disk is full.
    NEEDS_ROOM = "Free some disk space, or name another disk by --out, --into or --tmp."


class InterruptedRunError(EtlError):
    """The run was interrupted before it had published."""

    def __init__(self) -> None:
        super().__init__("Interrupted: nothing was published.", "Run the same command again.")


class UsageError(EtlError):
    """The command was called with arguments that cannot work."""

    exit_code = 2


class FormatError(UsageError):
    """An input is in no known format, or a log format lacks a field that the job needs."""


class UnknownInputError(FormatError):
    """An input is in no known format, or in one that is known and not read."""


class RulesetError(UsageError):
    """A ruleset file is invalid."""


class AccountingError(EtlError):
    """Records that were read did not end in exactly one place: a defect of this tool. Nothing was published."""

    exit_code = 4


#: Control characters, direction marks, invisible spaces, surrogates and noncharacters.
HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff0-\ufffb\ufffe-\uffff\ud800-\udfff]"
)
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""Escapes each character that a terminal or a page would obey or hide.

    Examples:
        >>> visible("a\x1b[31mb\nc\u202e")
        'a\\x1b[31mb\\nc\\u202e'
    """
    return HIDDEN.sub(lambda match: _SHORT.get(match[0]) or _escape(ord(match[0])), text)


def _escape(code: int) -> str:
    """Returns the escape of a character's code."""
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def plural(count: int, singular: str, plural_form: str | None = None) -> str:
    """Formats a count with its noun.

    Examples:
        >>> plural(1, "file"), plural(2000, "day")
        ('1 file', '2,000 days')
    """
    return f"{count:,} {singular if count == 1 else plural_form or singular + 's'}"
