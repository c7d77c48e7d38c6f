"""The text of docs/rules.md: the document of the rules with the code's tables, an anchor for each number, and links."""

from __future__ import annotations

import re
from typing import Final

from etl.reports.rulebook import code_tables, read_document
from etl.rules.rulings import with_tables

_NOTE: Final = "<!-- Made by `make docs` from etl/rules/rules.md and the code's tables. -->\n\n"
_HEADING: Final = re.compile(r"^(#{2,3}) ([0-9]+(?:\.[0-9]+[a-z]?)?)(\.? .+)$", re.MULTILINE)
_ADDRESS: Final = re.compile(r"https://[^\s`|]*[^\s`|.,:]")
_MENTION: Final = re.compile(r"\brule ([0-9]+(?:\.[0-9]+[a-z]?)?)")


def rules_page() -> str:
    """The page in Markdown; `rules.md#6.2` leads to ruling 6.2."""
    text = _ADDRESS.sub(r"<\g<0>>", with_tables(read_document(), code_tables()))
    text = _MENTION.sub(r"[rule \1](#\1)", text)
    return _NOTE + _HEADING.sub(r'<a id="\2"></a>\n\n\1 \2\3', text)
