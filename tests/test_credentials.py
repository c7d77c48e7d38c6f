"""Credentials, of an address or of the environment, are in nothing that a command writes or says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import etl
from etl.errors import EtlError, masked
from tests.commands import run

ID, SECRET, TOKEN = "AKIAPLANTEDID", "planted/Secret+Key", "planted-session-token"
LINE = '192.0.2.1 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2 "-" "test"\n'
PLACE = f"s3://secrets/{os.getpid()}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text(LINE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def _store(make_bucket: Callable[[str], str]) -> Iterator[None]:
    make_bucket("secrets")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"ACCESS_KEY_ID": ID, "SECRET_ACCESS_KEY": SECRET, "SESSION_TOKEN": TOKEN}.items():
            patch.setenv(f"AWS_{name}", value)
        yield


def said(*arguments: object, code: int) -> str:
    """All that a command says."""
    finished = run(*arguments, code=code)
    return (finished.stdout + finished.stderr).decode()


def assert_no_secret(text: str) -> None:
    assert [secret for secret in (ID, SECRET, TOKEN, "planted") if secret in text] == []


@pytest.mark.parametrize(
    "text",
    [
        f"s3://{ID}:{SECRET}@bucket/logs/a.log cannot be read",
        f"'https://{ID}:{SECRET}@example.com:9000/api' is down",
        f"s3://{SECRET.replace('/', '%2F')}@bucket",
        f"https://example.com/a?sig={TOKEN}&x=1",
        f"https://example.com/a?x=1&X-Amz-Signature={TOKEN}&X-Amz-Credential={ID}",
        f"https://example.com/?api_key={TOKEN}",
    ],
)
def test_credentials_are_masked_wherever_they_stand(text: str) -> None:
    assert_no_secret(masked(text))
    error = EtlError(text, text)
    assert_no_secret(f"{error} {error.args} {error.problem} {error.hint}")


@pytest.mark.parametrize(
    "text", ["jo@example.com", "s3://bucket/logs@2024/a.log", "logs/{date:%Y}@x", "https://example.com/?click_id=a&v=1"]
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(("scheme", "told"), [("s3", []), ("az", ["--debug"]), ("https", ["--events=json", "--debug"])])
def test_an_address_with_credentials_is_refused_and_not_repeated(
    scheme: str, told: list[str], log: Path, tmp_path: Path
) -> None:
    address = f"{scheme}://{ID}:{SECRET}@bucket/path?sig={TOKEN}"
    others = ["--metrics", tmp_path / "m.prom", "--openlineage", tmp_path / "lineage.jsonl"]
    for asked in (["run", address, "--out", tmp_path / "out"], ["load", log, "--into", address]):
        text = said(*asked, *others, *told, code=2)
        assert "***@bucket" in text
        written = [
            path.read_text(encoding="utf-8") for path in tmp_path.iterdir() if path.suffix in (".prom", ".jsonl")
        ]
        assert len(written) == 2
        assert_no_secret("".join([text, *written]))


@pytest.mark.usefixtures("_store")
@pytest.mark.parametrize("told", [[], ["--events", "json"]])
def test_credentials_of_the_environment_are_nowhere(told: list[str], log: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("summary.json", "m.prom", "lineage.jsonl")]
    others = ["--summary", files[0], "--metrics", files[1], "--openlineage", files[2], *told]
    into = f"{PLACE}/{len(told)}"
    texts = [
        said("load", log, "--into", into, *others, code=0),
        said("loads", "list", "--into", into, "--json", code=0),
        json.dumps(etl.scan(into, "loads").collect().to_dicts(), default=str),
        said("load", f"{into}/none.log", "--into", into, "--debug", *told, code=1),
        said("run", "s3://no-such-bucket/a", "--out", tmp_path / "out", "--debug", *others, code=1),
    ]
    texts += [path.read_text(encoding="utf-8") for path in files]
    assert into in "".join(texts)
    assert '"namespace": "s3://secrets"' in files[2].read_text(encoding="utf-8")
    assert_no_secret("".join(texts))


def test_credentials_of_endpoints_are_nowhere(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://{ID}:planted-secret@127.0.0.1:9"
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", TOKEN)
    others = ["--openlineage", address, "--events", "json", "--debug"]
    texts = [
        said("run", log, "--out", tmp_path / "out", *others, code=0),
        said("run", "s3://bucket/a", "--out", tmp_path / "out", *others, code=1),
    ]
    assert "OpenLineage events cannot be sent" in texts[0]
    assert_no_secret("".join(texts))
