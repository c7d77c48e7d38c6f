"""Whatever strangers named or sent, a terminal shows it and obeys none of it."""

from __future__ import annotations

import ast
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from etl.errors import HIDDEN
from tests.commands import on_terminal, run
from tests.effort import thorough
from tests.places import ROOT

#: What a terminal or a reader would obey: ESC, C0, C1, a new line, a direction and an isolate.
PLANTED = "a\x1b]0;t\x07\x9b2J\x08\r\nFORGED \u202eb\u2066c\x7f"

#: What `rich` itself sends to a terminal: styles, and how it draws and removes the bar of progress.
_DRAWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[AKG]|\r")

_LINE = '192.0.2.7 - - [01/May/2024:12:00:0{} +0000] "{} HTTP/1.1" 200 2 "-" "{}"\n'


def printing_modules() -> Iterator[tuple[str, str]]:
    """Modules of the package that write to the standard streams, or make a console of their own: (module, how)."""
    ways = {"print", "typer.echo", "typer.secho", "sys.stdout", "sys.stderr", "Console", "Text", "Text.assemble"}
    hint = re.compile(r"print\(|echo\(|sys\.std|Console|Text\b")
    for path in sorted((ROOT / "etl").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)) if hint.search(source) else ():
            if isinstance(node, ast.Call) and (way := ast.unparse(node.func)) in ways:
                yield str(path.relative_to(ROOT)), way
            if isinstance(node, ast.Attribute) and (way := ast.unparse(node)) in ways - {"typer.echo"}:
                yield str(path.relative_to(ROOT)), way


def test_all_that_is_printed_goes_through_one_door() -> None:
    flush = ("etl/cli/__init__.py", "sys.stdout")  # flushed at the end
    asks = ("etl/cli/progress.py", "sys.stderr")  # whether it is a terminal
    assert {
        (module, way)
        for module, way in printing_modules()
        if module not in ("etl/cli/terminal.py", "etl/cli/messages.py", "etl/cli/standard_streams.py")
    } <= {flush, asks}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of inputs, an export and a ruleset, whose names and values are planted; the folder's name, too."""
    folder = tmp_path_factory.mktemp("printing") / PLANTED
    (folder / "logs").mkdir(parents=True)
    sent, slug = quote(PLANTED), quote(PLANTED.replace("\n", ""))
    collect = f"/acme/collect/{slug}"
    targets = [
        f"{collect}?click_id={sent}&event_name={sent}&value={sent}&currency={sent}&transaction_id={sent}&{sent}={sent}",
        f"{collect}?click_id={sent}&conversion_type=sale&value=5&currency=EUR&transaction_id={sent}&email={sent}",
        f"{collect}?click_id=x&conversion_type=sale&value=5&currency=EUR&transaction_id={sent}&items={sent}",
        f"{collect}?value=5&xat_{sent}={sent}",
        f"/other/{slug}?{sent}={sent}",
    ]
    log = "".join(_LINE.format(i, f"GET {target}", PLANTED.replace("\n", "")) for i, target in enumerate(targets))
    (folder / "logs" / f"{PLANTED}.log").write_text(log, encoding="utf-8")
    with tarfile.open(folder / "logs" / "archive.tar", "w") as archive:
        member = tarfile.TarInfo(f"{PLANTED}.log")
        content = log.replace("12:00", "13:00").encode()
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    (folder / "unknown").mkdir()
    (folder / "unknown" / f"{PLANTED}.log").write_bytes(b"\x00\x01 nothing that is known\n")
    record = {"time": "2024-05-01T12:00:00Z", "url": targets[1], PLANTED: PLANTED}
    (folder / "logs" / f"json{PLANTED}.jsonl").write_text(json.dumps(record), encoding="utf-8")
    (folder / "export.csv").write_text(
        f'order,currency,amount,date,"{PLANTED}"\n"{PLANTED}",EUR,5,2024-05-01 12:00:01,"{PLANTED}"\n', encoding="utf-8"
    )
    return folder


#: Every command, in an order in which each finds something to print; whatever the exit code is, it prints.
COMMANDS = [
    "run {logs} --out {out}",
    "run {log} --out {out} --openlineage gopher://x",
    "run {unknown} {logs} --out {out} --unknown skip",
    "run {unknown} --out {out}",
    "run {missing} --out {out} --debug",
    "run {log} --out {log}",
    "run {logs} --out {out} --dry-run",
    "config run --config {planted}",
    "config {planted}",
    "run {log} --out {out} {flag}",
    "run {log} --out {out} --log-timezone {planted}",
    "run {log} --out {out} --format {planted}",
    "inspect {logs} {missing}",
    "explain {log}:1",
    "explain {log}:2",
    "explain {log}:9",
    "explain {planted}",
    "what-if {logs} --ruleset clickbank",
    "audit {out}",
    "audit {missing}",
    "reconcile {out} {export}",
    "reconcile {out} {export} --max-gap 0%",
    "load {logs} --into {planted_warehouse}",
    "load {logs} --into {warehouse} --dry-run",
    "load {logs} --into {warehouse}",
    "load {logs} --into {warehouse}",
    "load {missing} --into {warehouse}",
    "loads list --into {warehouse}",
    "loads show {log} --into {warehouse}",
    "loads show {missing} --into {warehouse}",
    "loads verify --into {warehouse}",
    "replay --into {warehouse} --ruleset clickbank --dry-run",
    "export --into {warehouse} --out {exported}",
    "compact --into {warehouse}",
    "vacuum --into {warehouse}",
    "forget-person {warehouse} {exported} {missing} --person +15551234567",
    "forget-person {warehouse} {exported} {out} --person +15551234567 --apply --proof -",
    "forget-person {warehouse} --person {planted}",
    "loads retention 1d --into {warehouse}",
    "loads retention {planted} --into {warehouse}",
    "loads forget {log} --into {warehouse}",
    "backfill {template} --into {warehouse} --from 2024-05-01 --to 2024-05-01",
    "rules {planted}",
    "schema {planted}",
]


def asked(folder: Path, words: str) -> list[str]:
    names = {
        "logs": folder / "logs",
        "log": folder / "logs" / f"{PLANTED}.log",
        "unknown": folder / "unknown",
        "missing": folder / f"missing{PLANTED}",
        "out": folder / "out",
        "export": folder / "export.csv",
        "warehouse": folder.parent / "warehouse",  # a table of Delta has a plain path
        "planted_warehouse": folder / "warehouse",
        "exported": folder / "exported",
        "template": f"{folder / 'logs'}/*{{date:%Y}}*",
        "planted": PLANTED,
        "flag": f"--{PLANTED}",
    }
    return [word.format(**names) for word in words.split(" ")]


def seen_in_a_pipe(arguments: list[str]) -> str:
    finished = run(*arguments, code=None)
    text = (finished.stdout + finished.stderr).decode()
    assert [line for line in text.split("\n") if line.lstrip(" │").startswith("FORGED")] == []
    return text


def seen_on_a_terminal(arguments: list[str]) -> str:
    return _DRAWN.sub("", on_terminal(*arguments))


@pytest.mark.parametrize("seen", [seen_in_a_pipe, pytest.param(seen_on_a_terminal, marks=thorough)])
def test_no_name_and_no_value_is_obeyed(folder: Path, seen: Callable[[list[str]], str]) -> None:
    told = ""
    for words in COMMANDS:
        text = seen(asked(folder, words))
        told += text
        hidden = [found for found in HIDDEN.finditer(text) if found[0] != "\n"]
        assert hidden == [], (words, text[max(0, hidden[0].start() - 100) : hidden[0].end() + 100])
    assert "\\x1b" in told
