"""Writes the generated parts of the documents anew, or with --check says whether they are true.

A part stands between `<!-- begin NAME -->` and `<!-- end NAME -->`, and NAME is a key of `PARTS`: each part is made
from the code that it describes. The output of commands in `console` blocks is generated too, see `consoles.py`, and so
are the results in notebooks, see `notebooks.py`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import consoles
import notebooks
import typer
from generate_rules import rules_page
from man_page import man_page

import etl
from etl.cli.schema import SchemaFormat, render_tables
from etl.reports.audit.catalogue import ANSWERS
from etl.reports.reconcile.causes import CAUSES
from etl.reports.resend.lost_records import LOSSES
from etl.reports.resend.platform_windows import READ_ON, WINDOWS
from etl.reports.resend.resend_drafts import REFUSALS
from etl.reports.resend.resend_formats import RESEND_FORMATS
from etl.rules.page import REJECTIONS, SKIPS
from etl.rules.ruleset import SWITCHES
from etl.rules.vendors import shipped_names
from etl.schema import TABLES
from etl.sources.carriers.known_carriers import CARRIERS
from etl.sources.carriers.table_carriers import EXPORTS
from etl.sources.formats.registry import FORMATS
from etl.steps.issues import ISSUES
from etl.telemetry.metrics import METRICS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.floors import FLOORS  # noqa: E402 - the tests are no package of the installation

_SIGNATURE_WIDTH = 88
_PEERS = ("chDB", "DuckDB", "plain Python")


def rows(header: str, cells: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    columns = header.count("|") + 1
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([f"| {header} |", "|" + "---|" * columns, *lines])


def ruled(text: str) -> str:
    """The text, in which each number of a ruling is a link to the rules, where they have an anchor for it."""
    anchors = set(re.findall(r'id="([0-9]+\.[0-9]+[a-z]?)"', rules_page()))
    return re.sub(
        r"\b[0-9]+\.[0-9]+[a-z]?\b",
        lambda match: f"[{match[0]}](../rules.md#{match[0]})" if match[0] in anchors else match[0],
        text,
    )


def commands() -> str:
    """Each command: its usage, what it does, its arguments and options."""
    from etl.cli import app

    return "\n\n".join(_commands(typer.main.get_command(app), "postback-etl"))


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
            continue
        full = f"{path} {name}"
        context = command.make_context(full, [], resilient_parsing=True)
        usage = f"```text\n{full} {' '.join(command.collect_usage_pieces(context))}\n```"
        records = [record for one in command.params if (record := one.get_help_record(context))]
        options = rows("option | meaning", [_option(record) for record in records])
        yield "\n\n".join(
            [f"## {full.removeprefix('postback-etl ')}", inspect.cleandoc(command.help or ""), usage, options]
        )


def _option(record: tuple[str, str]) -> tuple[str, str]:
    """An option with its value, and its meaning. A table in Markdown has no place for `|` within code."""
    what, text = record
    what = re.sub(r" <(?:list\[)?(?:str|int|bool|path|Path)\]?>$", "", what)
    name, _, value = what.rpartition(" ")
    choices = value.strip("<>").split("|")
    if len(choices) == 1:
        return f"`{what}`", _meaning(text)
    if value.startswith("<"):
        return f"`{name} …`", f"One of {', '.join(f'`{choice}`' for choice in choices)}. {_meaning(text)}"
    return " or ".join(f"`{name} {choice}`" for choice in choices), _meaning(text)


def _meaning(text: str) -> str:
    """The help of an option, with its default and limits as sentences."""
    text = re.sub(r"\s*\[default: ([^\]]+)\]", r" Default: `\1`.", text)
    text = re.sub(r"\s*\[x>=(\d+)\]", r" At least \1.", text)
    return re.sub(r"\s*\[required\]", " **Required.**", text)


def tables() -> str:
    """Each table's columns."""
    text = render_tables(TABLES, SchemaFormat.MARKDOWN)
    return re.sub(r"^### (\w+): one row is (.*)$", r"## \1\n\nOne row is \2.", text, flags=re.MULTILINE)


def formats() -> str:
    """Each format, its documentation, and which time and bodies it has."""
    return rows(
        "format | description | logged time | bodies",
        [
            (f"[`{row.name}`]({row.link})", row.what, row.moment, "yes" if row.is_body_logged else "no")
            for row in FORMATS
        ],
    )


def carriers() -> str:
    """Each carrier of one record, and each export of a log store as a table."""
    exports = [
        (f"[{row.name}]({row.link})", f"Table with a column {' or '.join(f'`{name}`' for name in row.records)}")
        for row in EXPORTS
    ]
    return rows("carrier | description", [*((f"[`{row.name}`]({row.link})", row.what) for row in CARRIERS), *exports])


def rulesets() -> str:
    """The rulesets that ship with the tool, in full."""
    folder = resources.files(shipped_names.__module__)
    sections = []
    for name in shipped_names():
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        sections.append(f"### {name}\n\n```toml\n{text.rstrip()}\n```")
    return "\n\n".join(sections)


def parameters() -> str:
    """The fields and the names that fill them."""
    page = etl.Ruleset()
    listed = [
        (one.name, ", ".join(f"`{name}`" for name in one.accepted), how)
        for fields, how in (
            (page.core_fields, "case, `_` and `-` ignored"),
            (page.exact_fields, "exactly"),
            ((page.item_containers,), "case, `_` and `-` ignored"),
            (page.item_fields, "in an item; case, `_` and `-` ignored"),
        )
        for one in fields
    ]
    return rows(
        "field | accepted names, the first wins | match", [(f"`{name}`", names, how) for name, names, how in listed]
    )


def conversion_types() -> str:
    """The values of conversion_type by the event that they become."""
    events: dict[str, list[str]] = {}
    for value, event in etl.Ruleset().events:
        events.setdefault(event, []).append(f"`{value}`")
    return rows("`conversion_type` | event", [(", ".join(values), f"`{event}`") for event, values in events.items()])


def floors() -> str:
    """The house from the top floor down: its rooms, and what each is for."""
    lines = []
    for number, floor in reversed(list(enumerate(FLOORS))):
        for first, room in zip([f"{number:>2}  {floor.name}", *[""] * len(floor.rooms)], floor.rooms, strict=False):
            lines.append(f"{first:<23} {room.name + '/' if room.name else ', '.join(room.modules):<18} {room.purpose}")
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def python_api() -> str:
    """Each public name of the package: signature, and docstring as Markdown."""
    sections = []
    for name in etl.__all__:
        thing = getattr(etl, name)
        if inspect.ismodule(thing) and callable(thing):  # a package that passes calls on to the function of its name
            thing = getattr(import_module(etl._HOMES.get(name, "etl.api")), name)
        parts = [f"## etl.{name}"]
        if inspect.isfunction(thing):
            parts.append(f"```python\n{_signature(name, thing)}\n```")
        sections.append("\n\n".join([*parts, _cited(_described(inspect.getdoc(thing) or ""))]))
    return "\n\n".join(sections)


def _signature(name: str, function: Any) -> str:
    signature = inspect.signature(function)
    written = []
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in written:
            written.append("*")
        default = "" if one.default is one.empty else f" = {one.default!r}"
        written.append(f"{'**' * (one.kind is one.VAR_KEYWORD)}{one.name}: {one.annotation}{default}")
    line = f"etl.{name}({', '.join(written)}) -> {signature.return_annotation}"
    if len(line) <= _SIGNATURE_WIDTH:
        return line
    return f"etl.{name}(\n" + "".join(f"    {one},\n" for one in written) + f") -> {signature.return_annotation}"


def _cited(text: str) -> str:
    return re.sub(r"(?<=\brules )[0-9]+\.[0-9]+[a-z]?", lambda match: ruled(match[0]), text)


def _described(docstring: str) -> str:
    """A docstring of Google sections as Markdown: lists of arguments, examples as code."""
    lines: list[str] = []
    section = ""
    for line in docstring.splitlines():
        if match := re.fullmatch(r"(Args|Attributes|Returns|Raises|Examples|Source|Units):", line):
            section = match[1]
            lines += [
                "",
                f"**{section.replace('Args', 'Arguments')}**",
                "",
                *(["```python"] if section == "Examples" else []),
            ]
        elif section in ("Args", "Attributes", "Raises") and (match := re.fullmatch(r"    (\S+): (.*)", line)):
            lines.append(f"- `{match[1]}`: {match[2]}")
        else:
            lines.append(line.strip() if section and section not in ("Args", "Attributes", "Raises") else line)
    return re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip() + ("\n```" if section == "Examples" else "")


def speed() -> str:
    """Seconds for a million lines of a log, of this job and its peers, as measured."""
    measured = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    seconds = dict(re.findall(r"^\| log: ([^|]+) \| ([0-9.]+) \|", measured, re.MULTILINE))
    ours = float(seconds["ours"])
    names = {"ours": "postback-etl", **{name: f"{name}, the same job written by hand" for name in _PEERS}}
    cells = [(name, seconds[key], f"{float(seconds[key]) / ours:.2f}") for key, name in names.items()]
    return rows("contender | seconds | relative", cells)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "tables": tables,
    "formats": formats,
    "carriers": carriers,
    "parameters": parameters,
    "conversion types": conversion_types,
    "rejections": lambda: rows("reason | message", [(f"`{row.code}`", row.message) for row in REJECTIONS]),
    "skips": lambda: rows("reason | meaning", [(f"`{row.code}`", row.message) for row in SKIPS]),
    "issues": lambda: rows(
        "code | meaning | rule",
        [(f"`{row.code}`", row.meaning, ruled(row.source.removeprefix("rules "))) for row in ISSUES],
    ),
    "switches": lambda: rows(
        "key | values, the default first | rule",
        [
            (
                f"`{row.key}`",
                ", ".join(f"`{value}`" for value in row.accepted),
                ruled(row.source.removeprefix("rules ")),
            )
            for row in SWITCHES
        ],
    ),
    "rulesets": rulesets,
    "questions": lambda: rows(
        "number | key | question",
        [(str(number), f"`{row.key}`", row.question) for number, row in enumerate(ANSWERS, 1)],
    ),
    "losses": lambda: rows(
        "finding | question of the audit | what was lost, and what is sent",
        [(f"`{row.name}`", f"`{row.answer}`", row.what) for row in LOSSES],
    ),
    "resend refusals": lambda: rows(
        "reason | meaning | what to do", [(f"`{row.code}`", row.meaning, row.way_out) for row in REFUSALS]
    ),
    "resend formats": lambda: rows(
        "format | suffix | what it is", [(f"`{row.name}`", f"`{row.suffix}`", row.what) for row in RESEND_FORMATS]
    ),
    "windows": lambda: (
        rows(
            "platform | days | from the | source",
            [(row.platform, str(row.days), row.begins, row.source) for row in WINDOWS],
        )
        + f"\n\nThe sources were read on {READ_ON}."
    ),
    "causes": lambda: rows("cause | meaning", [(f"`{row.name}`", row.meaning) for row in CAUSES]),
    "metrics": lambda: rows(
        "metric | label | meaning",
        [(f"`{row.name}`", f"`{row.label}`" if row.label else "", row.meaning.rstrip(".")) for row in METRICS],
    ),
    "python": python_api,
    "floors": floors,
    "speed": speed,
}

PART = re.compile(r"<!-- begin (?P<name>[a-z -]+) -->\n.*?<!-- end (?P=name) -->", re.DOTALL)


def pages() -> list[str]:
    """The documents that may have generated parts, by their paths in the repository."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found += sorted((ROOT / "examples").glob("*.ipynb"))
    return [*(path.relative_to(ROOT).as_posix() for path in found), "man/postback-etl.1"]


def written(text: str) -> str:
    """The text with every part made anew."""
    made = PART.sub(
        lambda part: f"<!-- begin {part['name']} -->\n{PARTS[part['name']]()}\n<!-- end {part['name']} -->", text
    )
    return consoles.replay(made)


#: Pages that are generated whole.
WHOLE: dict[str, Callable[[], str]] = {"docs/rules.md": rules_page, "man/postback-etl.1": man_page}


if __name__ == "__main__":
    for page in [name for name in sys.argv[1:] if name != "--check"] or pages():
        present = (ROOT / page).read_text(encoding="utf-8")
        if page.endswith(".ipynb"):
            made = notebooks.executed(present)
        else:
            made = WHOLE[page]() if page in WHOLE else written(present)
        if "--check" not in sys.argv:
            (ROOT / page).write_text(made, encoding="utf-8")
        elif made != present:
            raise SystemExit(f"{page} is out of date: run `make docs`")
