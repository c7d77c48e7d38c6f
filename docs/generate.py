"""Writes the generated parts of README.md and docs/operations.md anew, or with --check says whether they are true.

A part stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

from generate_rules import rules_page

from etl.cli import main
from etl.cli.schema import SchemaFormat, shown
from etl.reports.audit.catalogue import ANSWERS
from etl.reports.reconcile.causes import CAUSES
from etl.rules.page import REJECTIONS, SKIPS
from etl.rules.ruleset import SWITCHES
from etl.rules.vendors import shipped_names
from etl.schema import TABLES
from etl.sources.formats.registry import FORMATS
from etl.telemetry.metrics import METRICS
from etl.transform.issues import ISSUES

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.floors import FLOORS  # noqa: E402 - the tests are no package of the installation


def _printed(*arguments: str) -> list[str]:
    """The lines that the command prints at 80 columns."""
    os.environ |= {"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}
    os.chdir(ROOT)
    given, sys.argv = sys.argv, ["postback-etl", *arguments]
    try:
        with redirect_stdout(io.StringIO()) as shown:
            main()
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sys.argv = given
    return [line.rstrip() for line in shown.getvalue().strip().splitlines()]


def _help(command: str) -> str:
    return "```text\n" + "\n".join(_printed(command, "--help")) + "\n```"


def _explained() -> str:
    """An explanation without the steps that say least."""
    what = "https://t.example.com/acme/collect/shop?clickid=abc&value=49&conversionType=sale&xat_plan=gold"
    shown = ("parameters", "identity", "event", "value", "issues", "outcome")
    lines, is_shown = [], False
    for line in _printed("explain", what):
        is_shown = line in shown if not line.startswith(" ") else is_shown
        lines += [line] if is_shown else []
    return f"```console\n$ postback-etl explain '{what}'\n…\n" + "\n".join(lines) + "\n…\n```"


def _inspected() -> str:
    inputs = "sample_data/access.log.gz"
    return f"```console\n$ postback-etl inspect {inputs}\n" + "\n".join(_printed("inspect", inputs)) + "\n```"


def _floors() -> str:
    """The house from the top floor down: its rooms, and what each is for."""
    lines = []
    for number, floor in reversed(list(enumerate(FLOORS))):
        for first, room in zip([f"{number:>2}  {floor.name}", *[""] * len(floor.rooms)], floor.rooms, strict=False):
            lines.append(f"{first:<23} {room.name + '/' if room.name else ', '.join(room.modules):<18} {room.purpose}")
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def _rulesets() -> str:
    rows = []
    for name in shipped_names():
        path = f"etl/rules/vendors/{name}.toml"
        first = (ROOT / path).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        rows.append((f"[`{name}`]({path})", first.rstrip(".")))
    return _rows("ruleset | reads", rows)


def _rows(header: str, rows: list[tuple[str, ...]]) -> str:
    columns = header.count("|") + 1
    return "\n".join([f"| {header} |", "|" + "---|" * columns, *("| " + " | ".join(row) + " |" for row in rows)])


def _metrics() -> str:
    rows = [(f"`{row.name}`", f"`{row.label}`" if row.label else "", row.meaning.rstrip(".")) for row in METRICS]
    return _rows("metric | by | says", rows)


PARTS: dict[str, Callable[[], str]] = {
    "help": lambda: _help("run"),
    "help audit": lambda: _help("audit"),
    "help reconcile": lambda: _help("reconcile"),
    "causes": lambda: _rows("cause | what", [(f"`{row.name}`", row.meaning) for row in CAUSES]),
    "explained": _explained,
    "help explain": lambda: _help("explain"),
    "inspected": _inspected,
    "help inspect": lambda: _help("inspect"),
    "help what-if": lambda: _help("what-if"),
    "tables": lambda: shown(TABLES, SchemaFormat.MARKDOWN),
    "formats": lambda: _rows(
        "format | what | its time is the request's | bodies",
        [
            (f"[`{row.name}`]({row.link})", row.what, row.moment, "yes" if row.is_body_logged else "no")
            for row in FORMATS
        ],
    ),
    "rejections": lambda: _rows("reason | message", [(f"`{row.code}`", row.message) for row in REJECTIONS]),
    "skips": lambda: _rows("reason | what", [(f"`{row.code}`", row.message) for row in SKIPS]),
    "issues": lambda: _rows("code | what | ruling", [(f"`{row.code}`", row.meaning, row.source) for row in ISSUES]),
    "switches": lambda: _rows(
        "key | values, the default first | ruling",
        [(f"`{row.key}`", ", ".join(f"`{value}`" for value in row.accepted), row.source) for row in SWITCHES],
    ),
    "rulesets": _rulesets,
    "answers": lambda: _rows(
        "answer | | asks",
        [(str(number), f"`{row.key}`", row.question) for number, row in enumerate(ANSWERS, 1)],
    ),
    "floors": _floors,
}


#: The pages and the parts they have.
PAGES = {"README.md": [*PARTS], "docs/operations.md": ["metrics"]}
PARTS["metrics"] = _metrics


def written(page: str, text: str) -> str:
    """The text with every part made anew."""
    for name in PAGES[page]:
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{page} has no part {name}")
        before, _, after = pattern.sub(lambda match: "\0", text).partition("\0")
        text = f"{before}{begin}\n{PARTS[name]()}\n{end}{after}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        present = (ROOT / page).read_text(encoding="utf-8")
        if "--check" not in sys.argv:
            (ROOT / page).write_text(written(page, present), encoding="utf-8")
        elif written(page, present) != present:
            raise SystemExit(f"{page} is out of date: run `make docs`")
    rules = ROOT / "docs" / "rules.md"
    if "--check" not in sys.argv:
        rules.write_text(rules_page(), encoding="utf-8")
    elif rules.read_text(encoding="utf-8") != rules_page():
        raise SystemExit("docs/rules.md is out of date: run `make docs`")
