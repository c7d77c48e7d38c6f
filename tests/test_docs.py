"""The documents are true: generated parts are up to date, commands and examples work, links lead somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import etl
from etl.cli import app
from etl.sources.settings import read_formats
from tests.effort import thorough

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
CONSOLES = ["README.md", "docs/tutorial.md", "docs/how-to/explain.md"]
REFERENCE = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(code: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=folder)


@thorough
@pytest.mark.parametrize("pages", [[page] for page in CONSOLES] + [[]], ids=[*CONSOLES, "the others"])
def test_the_generated_parts_are_up_to_date(pages: list[str]) -> None:
    others = [name for path in PAGES if (name := path.relative_to(ROOT).as_posix()) not in CONSOLES]
    command = [sys.executable, DOCS / "generate.py", "--check", *(pages or others)]
    assert subprocess.run(command, check=False).returncode == 0


def test_every_command_and_option_of_the_examples_exists() -> None:
    text = "\n".join(block for path in PAGES for language in ("sh", "console") for block in blocks(path, language))
    unquoted = re.sub(r"'[^'\n]*'|#.*", "", re.sub(r"\\\n(?:> )?", " ", text))
    options = {
        name: set(re.findall(r"(?<!\S)`?(--?[a-z][a-z-]*)", section))
        for name, section in re.findall(r"^## ([a-z -]+)\n(.*?)(?=^## |\Z)", REFERENCE, re.DOTALL | re.MULTILINE)
    }
    used = re.findall(r"^(?:\$ )?postback-etl ((?:loads )?[a-z][a-z-]*)(.*)$", unquoted, re.MULTILINE)
    assert len({command for command, _ in used}) >= 14
    for command, arguments in used:
        flags = re.findall(r"(?<!\S)--?[a-z][a-z-]*", arguments.partition("|")[0])
        assert [flag for flag in flags if flag not in options[command]] == [], command


def test_every_command_is_in_the_reference() -> None:
    names = [command.name or (command.callback or repr).__name__ for command in app.registered_commands]
    assert len(names) >= 12
    assert [name for name in names if f"\n## {name}\n" not in REFERENCE] == []


def test_the_example_ruleset_and_formats_are_valid(tmp_path: Path) -> None:
    (formats,) = blocks(DOCS / "how-to" / "own-format.md", "toml")
    (tmp_path / "formats.toml").write_text(formats, encoding="utf-8")
    assert [row.name for row in read_formats(tmp_path / "formats.toml")] == ["tracker", "queue"]
    (ruleset,) = blocks(DOCS / "how-to" / "rulesets.md", "toml")
    assert etl.parse_ruleset(ruleset, "house.toml").name == "house"


@pytest.mark.parametrize("page", ["README.md", "docs/reference/python.md"])
def test_the_python_example_runs(page: str, tmp_path: Path) -> None:
    code = blocks(ROOT / page, "python")[0]
    (tmp_path / "sample_data").mkdir()
    shutil.copy(ROOT / "sample_data" / "webhooks.jsonl", tmp_path / "sample_data")
    run(f"import etl\nrequests = etl.schema.REQUESTS.empty()\n{code}", tmp_path)
    assert (tmp_path / "tables" / "conversions").is_dir()


def test_the_lines_that_read_tables_run(tmp_path: Path) -> None:
    tables, _spark, _stored, warehouse, _spark_of_a_warehouse = blocks(DOCS / "how-to" / "query.md", "python")
    (tmp_path / "a.jsonl").write_text('{"click_id": "a"}\n', encoding="utf-8")
    run(f"import etl\netl.run(['a.jsonl'], 'tables')\n{tables}", tmp_path)
    run(f"import etl\netl.load(['a.jsonl'], 'warehouse')\n{warehouse}", tmp_path)


def test_the_queries_run(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    etl.run([ROOT / "sample_data" / "webhooks.jsonl"], tmp_path / "tables")
    queries = [query for path in PAGES for query in blocks(path, "sql")]
    assert len(queries) >= 4
    etl.export(tmp_path / "tables", f"duckdb:{tmp_path}/tables.duckdb")
    with duckdb.connect(f"{tmp_path}/tables.duckdb", read_only=True) as database:
        for query in queries:
            assert database.execute(query.replace("'tables/", f"'{tmp_path}/tables/")).fetchall()


def test_no_link_of_the_pages_is_broken() -> None:
    finished = subprocess.run([sys.executable, DOCS / "check_links.py"], capture_output=True, check=False, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_planted_broken_link_is_found(tmp_path: Path) -> None:
    sys.path.insert(0, str(DOCS))
    try:
        from check_links import broken_in_pages, broken_in_site
    finally:
        sys.path.remove(str(DOCS))
    (tmp_path / "a.md").write_text("# A b\n[1](#a-b) [2](b.md) [3](a.md#c) [4](https://d.example)\n", encoding="utf-8")
    assert broken_in_pages(tmp_path) == ["a.md: b.md", "a.md: a.md#c"]
    loaded = '<script src="https://e.example/x.js"></script>'
    page = f'<h1 id="a-b">A</h1><a href="#a-b"></a><a href="b.html"></a><a href="a.html#c"></a>{loaded}'
    (tmp_path / "a.html").write_text(page, encoding="utf-8")
    assert broken_in_site(tmp_path) == ["a.html: loads https://e.example/x.js", "a.html: b.html", "a.html: a.html#c"]


def test_every_page_is_in_the_navigation() -> None:
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"'([\w/-]+\.md)'", str(project["nav"]))
    assert sorted(named) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_the_recipes_name_modules_that_there_are() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+/[a-z_/]*[a-z_]*(?:\.py)?)`", text)
    assert len(named) > 20
    found = [name for name in named if (ROOT / name).exists() or (ROOT / "etl" / name).exists()]
    assert sorted(set(named) - set(found) - {"dist/", "build/site"}) == []
