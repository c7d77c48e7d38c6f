"""The README is true: its generated parts are up to date, and its examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.commands import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_generated_parts_are_up_to_date() -> None:
    finished = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], check=False)
    assert finished.returncode == 0


def test_every_option_of_the_examples_exists() -> None:
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    helps = "".join(
        run(*command.split(), "--help").stdout.decode()
        for command in set(re.findall(r"^postback-etl ((?:loads )?[a-z-]+)", commands, re.MULTILINE))
    )
    assert [flag for flag in re.findall(r"(?<!\w)--[a-z-]+", commands) if flag not in helps] == []


def test_the_example_ruleset_and_formats_are_valid(tmp_path: Path) -> None:
    import etl
    from etl.sources.settings import read_formats

    formats, ruleset = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "formats.toml").write_text(formats, encoding="utf-8")
    assert [row.name for row in read_formats(tmp_path / "formats.toml")] == ["tracker", "queue"]
    assert etl.parse_ruleset(ruleset, "README.md").name == "house"


def test_the_python_example_runs(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.jsonl").write_text('{"click_id": "a"}\n', encoding="utf-8")
    code = code.replace("tables = etl.transform(requests)", "tables = etl.transform(etl.schema.REQUESTS.empty())")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert (tmp_path / "tables" / "conversions").is_dir()


def test_the_lines_that_read_a_warehouse_run(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1]
    (tmp_path / "a.jsonl").write_text('{"click_id": "a"}\n', encoding="utf-8")
    load = "import etl\netl.load(['a.jsonl'], 'warehouse')\n"
    subprocess.run([sys.executable, "-c", load + code], check=True, cwd=tmp_path)
