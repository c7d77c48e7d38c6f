"""Options in `postback-etl.toml` and in the environment: which counts, where paths lead, and how a typo is answered."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import typer

from etl.cli import app
from etl.cli.configuration import commands_of, options_of, shared_names
from tests.commands import assert_refused, run
from tests.records import LINE

FILE = """\
default_currency = "eur"
since = 2024-01-01
max-rejected = 5

[run]
out = "tables"
columns = {payload = "body"}
account = "acme"

[reconcile]
account = "7"

[loads.list]
json = true
"""


def env(**variables: str) -> dict[str, str]:
    return {**os.environ, **{f"POSTBACK_ETL_{name}": value for name, value in variables.items()}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder below that of a file."""
    (tmp_path / "postback-etl.toml").write_text(FILE, encoding="utf-8")
    (tmp_path / "below").mkdir()
    return tmp_path / "below"


def options_that_count(command: str, *arguments: str, **where: Any) -> dict[str, tuple[Any, str]]:
    printed = json.loads(run("config", *command.split(), "--json", *arguments, **where).stdout)
    return {row["option"]: (row["value"], row["from"]) for row in printed["options"]}


def test_the_environment_comes_before_the_file_and_a_table_before_the_top(folder: Path) -> None:
    found = options_that_count("run", cwd=folder, env=env(SINCE="2024-02-01", JOBS="1", RUN_JOBS="2", UNTIL=""))
    assert found["default-currency"] == ("eur", "../postback-etl.toml, line 1")
    assert found["since"] == ("2024-02-01", "POSTBACK_ETL_SINCE")
    assert found["jobs"] == ("2", "POSTBACK_ETL_RUN_JOBS")
    assert found["out"] == ("../tables", "../postback-etl.toml, line 6")
    assert found["columns"] == (["payload=body"], "../postback-etl.toml, line 7")
    assert found["until"] == (None, "default")
    assert found["pii"] == ("hash", "default")


def test_a_name_at_the_top_counts_where_it_means_the_same(folder: Path) -> None:
    found = options_that_count("reconcile", cwd=folder, env=env(SINCE="2024-02-01", INTEGRATION="shop"))
    assert found["account"] == ("7", "../postback-etl.toml, line 11")
    assert found["since"] == found["integration"] == (None, "default")


def test_names_with_several_meanings() -> None:
    """A name that comes to mean two things belongs in the tables of commands from then on: say so in the changelog."""
    root: Any = typer.main.get_command(app)
    own = defaultdict(set)
    for command in commands_of(root).values():
        for name in options_of(command).keys() - shared_names(root, command):
            own[name].add(command.name)
    assert {"account", "columns", "dry-run", "integration", "json", "out", "quiet", "ruleset", "since", "summary"} <= {
        *own
    }
    assert not {*own} & {"default-currency", "into", "pii", "metrics", "openlineage", "events", "jobs", "format"}


def test_a_run_takes_its_options_from_the_file_and_a_flag_overrides_them(folder: Path) -> None:
    (folder / "a.log").write_text(LINE.format("click_id=a&value=5"), encoding="utf-8")
    run("run", "a.log", "--columns", "payload=x", cwd=folder, env=env(QUIET="1"))
    manifest = json.loads((folder.parent / "tables" / "_postback_etl.json").read_bytes())
    assert manifest["value_total"] == {"EUR": "5"}
    finished = run("run", "a.log", "--default-currency", "usd", "--summary", "-", cwd=folder)
    assert json.loads(finished.stdout)["value_total"] == {"USD": "5"}
    said = "options from ../postback-etl.toml: --out, --columns, --account, --since, --max-rejected"
    assert finished.stderr.decode().splitlines()[0] == said


def test_a_command_without_arguments_runs_if_the_file_holds_all_it_needs(folder: Path) -> None:
    finished = run("loads", "list", cwd=folder, env=env(INTO="nowhere"), code=2)
    assert_refused(finished, "nowhere is not a warehouse")
    assert b"Missing option" in run("loads", "list", cwd=folder, code=2).stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('defualt-currency = "EUR"', ("line 2", "Did you mean 'default-currency'?")),
        ("[rnu]", ("line 2", "Did you mean 'run'?")),
        ("[run]\nquite = true", ("line 3: run has no option 'quite'", "Did you mean 'quiet'?")),
        ("[loads.list]\nquiet = true", ("line 3: loads list has no option 'quiet'",)),
        ("[run]\nquiet = 1", ("line 3: quiet = 1", "true or false")),
        ('[run]\nout = ["a"]', ("line 3: out = ['a']", "Give a text.")),
        ("quiet = ", ("not valid TOML", "line 2")),
        ('default-currency = "EURO"', ("three letters", "--default-currency comes from x.toml, line 2.")),
        ('[forget-person]\nperson = ["a@example.com"]', ("forget-person has no option 'person'",)),
    ],
)
def test_a_typo_is_answered_by_the_right_name_and_the_line(line: str, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(f"# options\n{line}\n", encoding="utf-8")
    (tmp_path / "a.log").touch()
    assert_refused(run("run", "a.log", "--out", "out", "--config", "x.toml", code=2, cwd=tmp_path), *words)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    finished = run("run", "a.log", "--out", "out", code=2, cwd=tmp_path, env=env(JOBS="many"))
    assert b"POSTBACK_ETL_JOBS" in finished.stderr
    found = run("config", cwd=tmp_path, env=env(JBOS="2")).stdout
    assert b"unknown: POSTBACK_ETL_JBOS is no option" in found


def test_the_file_is_named_before_or_after_the_command_or_by_the_environment(folder: Path) -> None:
    (folder / "x.toml").write_text(
        "jobs = 7\nruleset = 'x.toml'\nformats = '/a.toml'\ntmp = '~/tmp'\n", encoding="utf-8"
    )
    for found in (
        options_that_count("run", "--config", "below/x.toml", cwd=folder.parent),
        options_that_count("run", cwd=folder.parent, env=env(CONFIG="below/x.toml")),
    ):
        assert found["jobs"] == ("7", "below/x.toml, line 1")
        assert found["ruleset"][0] == "below/x.toml"
        assert found["formats"][0] == "/a.toml"
        assert found["tmp"][0] == str(Path("~/tmp").expanduser())
    named = run("--config", "below/x.toml", "config", cwd=folder.parent).stdout.decode()
    assert named.startswith("file: below/x.toml\n")
    assert (
        run("config", "--config", os.devnull, cwd=folder).stdout.decode().splitlines()[1].strip()
        == "options that are set"
    )


def test_the_file_decides_who_reads_the_messages_unless_the_command_line_does(tmp_path: Path) -> None:
    (tmp_path / "postback-etl.toml").write_text('events = "json"\n', encoding="utf-8")
    failed = run("run", "none.log", "--out", "out", code=1, cwd=tmp_path)
    assert json.loads(failed.stderr.splitlines()[-1])["error"] == "none.log does not exist."
    assert b"error: none.log" in run("run", "none.log", "--out", "out", "--events", "text", code=1, cwd=tmp_path).stderr


def test_credentials_are_not_shown(tmp_path: Path) -> None:
    where = {"cwd": tmp_path, "env": env(INTO="s3://key:secret@bucket/a", OPENLINEAGE="https://me:secret@example.com")}
    for form in ([], ["--json"], ["load"]):
        assert b"secret" not in run("config", *form, **where).stdout


def test_a_dry_run_says_what_it_would_read_and_writes_nothing(folder: Path) -> None:
    (folder / "a.log").write_text(LINE.format("click_id=a&value=5"), encoding="utf-8")
    (folder / "b.txt").write_text("nothing that is known\n" * 9, encoding="utf-8")
    finished = run("run", ".", "--dry-run", cwd=folder)
    *inputs, disk = finished.stdout.decode().splitlines()
    assert inputs == ["read   a.log: combined, 1 record, 113 bytes", "skip   b.txt: it is in no known format"]
    assert disk.startswith("needs about 0.2 kB of disk; ")
    assert not (folder.parent / "tables").exists()
    assert_refused(run("run", "b.txt", "--dry-run", "-q", code=2, cwd=folder), "no known format")
    assert_refused(run("run", "a.log", "--out", ".", "--dry-run", "-q", code=2, cwd=folder), "did not write")


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (("--columns", "paylod=x"), "Did you mean 'payload'?"),
        (("--log-timezone", "Europe/Berln"), "Did you mean 'Europe/Berlin'?"),
        (("--formats", "formats.toml"), "Did you mean 'samples'?"),
    ],
)
def test_a_typo_in_a_value_is_answered_by_the_right_name(options: tuple[str, str], meant: str, tmp_path: Path) -> None:
    (tmp_path / "formats.toml").write_text('[own]\npattern = "x"\nsampels = ["x"]\n', encoding="utf-8")
    (tmp_path / "a.log").touch()
    assert_refused(run("run", "a.log", "--out", "out", *options, code=2, cwd=tmp_path), meant)
