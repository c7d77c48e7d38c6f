"""Loads the rulesets that ship with the tool: one TOML file for each vendor, beside this module."""

from __future__ import annotations

import errno
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from etl.errors import RulesetError, choices
from etl.rules.ruleset import Ruleset
from etl.rules.ruleset_file import parse_ruleset

_RECOGNITION: Final = re.compile(r"^\[recognition\]\n((?:(?!\[).*\n)*)", re.MULTILINE)
_MOST_BYTES: Final = 16 * 2**20


def shipped_names() -> list[str]:
    """Returns the names of the shipped rulesets in alphabetical order."""
    names = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def shipped_ruleset(name: str) -> Ruleset:
    """Loads a shipped ruleset by its name.

    Raises:
        RulesetError: No shipped ruleset has the name.

    Examples:
        >>> shipped_ruleset("shopify").name
        'shopify'
    """
    if name not in shipped_names():
        raise RulesetError(
            f"no ruleset {name!r} ships with the tool.", f"Shipped rulesets: {', '.join(shipped_names())}."
        )
    return parse_ruleset(_text_of(name), name)


def shipped_recognition(name: str) -> dict[str, Any]:
    """Returns the table `[recognition]` of a shipped ruleset; empty if it has none.

    Only the lines of this table are parsed, up to the next table: every run reads the tables of all shipped rulesets.

    Examples:
        >>> shipped_recognition("stripe")["what"]
        'a Stripe event'
    """
    lines = _RECOGNITION.search(_text_of(name))
    return tomllib.loads(lines[1]) if lines else {}


def _text_of(name: str) -> str:
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def read_own_file(path: Path) -> str:
    """Returns the text of a user's file, a ruleset or formats. It may come through a pipe.

    Raises:
        OSError: It cannot be read, or is larger than any such file.
        UnicodeDecodeError: It is not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, "File too large")
    return content.decode()


def find_ruleset(text: str) -> Ruleset:
    """Loads the ruleset that `--ruleset` names: a shipped ruleset, else a file.

    Raises:
        RulesetError: The file cannot be read, or it is no valid ruleset.
    """
    if text in shipped_names():
        return shipped_ruleset(text)
    try:
        return parse_ruleset(read_own_file(Path(text)), Path(text).name)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        hint = choices(text, shipped_names(), "Give a file or a shipped ruleset")
        raise RulesetError(f"--ruleset {text!r} cannot be read: {reason}.", hint) from error
