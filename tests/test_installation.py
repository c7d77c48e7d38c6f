"""What an installation says of itself, and what it does where the loops could not be compiled."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import etl
from etl.cli import messages
from etl.columnar import compilation
from tests.commands import run

ROOT = Path(__file__).parents[1]


def said(*arguments: object) -> list[str]:
    """The lines that the command writes to standard error where the loops are plain Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compilation, "are_loops_compiled", lambda: False)
        messages.warn_if_slow.cache_clear()
        return run(*arguments).stderr.decode().splitlines()


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "webhooks.jsonl"
    path.write_text('{"click_id": "a"}\n', encoding="utf-8")
    return path


def test_the_version_is_that_of_the_metadata() -> None:
    finished = subprocess.run([sys.executable, "-m", "etl", "--version"], capture_output=True, check=True, text=True)
    assert etl.__version__ == version("postback-etl")
    assert finished.stdout == f"postback-etl {etl.__version__}\n"


@pytest.mark.parametrize("command", [["run", "--out"], ["load", "--into"]], ids=["run", "load"])
def test_a_slow_run_says_so_in_one_line(command: list[str], dump: Path, tmp_path: Path) -> None:
    lines = [line for line in said(command[0], dump, command[1], tmp_path / "out") if "slower" in line]
    assert len(lines) == 1
    assert lines[0].startswith("warning: ")
    assert "C compiler" in lines[0]


def test_a_backfill_of_two_days_says_once_that_it_is_slow(dump: Path, tmp_path: Path) -> None:
    days = ("--from", "2024-05-01", "--to", "2024-05-02")
    for mode in ("text", "json"):
        lines = said(
            "backfill", dump.parent / "{date:web}hooks.jsonl", *days, "--into", tmp_path / mode, "--events", mode
        )
        assert len([line for line in lines if "slower" in line]) == 1


def test_programs_are_told_of_a_slow_run_by_an_event(dump: Path, tmp_path: Path) -> None:
    events = [json.loads(line) for line in said("run", dump, "--out", tmp_path / "out", "--events", "json")]
    assert [event["event"] for event in events if "slower" in event.get("message", "")] == ["warning"]


def test_what_is_quick_or_quiet_says_nothing_of_it(dump: Path, tmp_path: Path) -> None:
    assert [line for line in said("run", dump, "--out", tmp_path / "out", "--quiet") if "slower" in line] == []
    assert said("schema") == []
    assert said("run", "--help") == []


def setup_script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of setup.py, run with a Cython that drops what extensions are marked with, as Cython does."""

    def extension(name: str, sources: list[str], **_marks: object) -> SimpleNamespace:
        return SimpleNamespace(name=name, sources=sources, optional=None)

    def cythonize(extensions: list[SimpleNamespace], **_options: object) -> list[SimpleNamespace]:
        return [extension(made.name, made.sources) for made in extensions]

    modules = {
        "Cython": ModuleType("Cython"),
        "Cython.Build": SimpleNamespace(cythonize=cythonize),
        "setuptools": SimpleNamespace(Extension=extension, setup=lambda **_arguments: None),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(ROOT)
    return runpy.run_path("setup.py")


def test_every_extension_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    extensions = setup_script(monkeypatch)["extensions"]()
    assert {one.sources[0] for one in extensions} == {
        str(path.relative_to(ROOT).with_suffix(".py")) for path in (ROOT / "etl").rglob("*.pxd")
    }
    assert len(extensions) >= 3
    assert all(one.optional for one in extensions)


def test_the_page_of_an_index_has_no_link_that_needs_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    page = setup_script(monkeypatch)["index_page"]()
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert [link for link in links if not link.startswith(("https://", "http://"))] == []
    assert "Contributing" in page
