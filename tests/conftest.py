"""What several files of tests share: data that is made once in a session, and what the last line of a run says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Final

from tests import effort, planted, postgresql, s3  # isort: skip - effort comes before anything that imports polars

import polars as pl
import pytest

import etl
from etl.runner import tasks
from tests.places import ROOT, SHARED

_MEMORY: Final = Path("/dev/shm")
_ENOUGH_BYTES: Final = 4 << 30
_NO_POSTGRESQL: Final = "PostgreSQL is not installed"


def pytest_configure() -> None:
    """Has temporary files in memory where there is enough: nothing is lost with them, and syncing costs most.

    Commands in a pipe are not as wide as the terminal of the tests, which xdist passes on.
    """
    os.environ.pop("COLUMNS", None)
    has_memory = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES
    if has_memory and "PYTEST_DEBUG_TEMPROOT" not in os.environ:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the thorough tests of `make test`; skips what reads the shared corpora where they are absent."""
    if not effort.IS_THOROUGH:
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    if not SHARED.exists():
        for item in items:
            if item.get_closest_marker("reads_shared"):
                item.add_marker(pytest.mark.skip(reason="../shared is not beside this checkout"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Says in the last lines how many tests were skipped because the shared corpora or PostgreSQL are absent."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not hasattr(session.config, "workerinput"):
        skipped = [report for report in reporter.stats.get("skipped", []) if "reads_shared" in report.keywords]
        reporter.ensure_newline()
        reporter.write_line(f"{len(skipped)} tests were skipped for want of ../shared.")
        wanting = [one for one in reporter.stats.get("skipped", []) if _NO_POSTGRESQL in str(one.longrepr)]
        if wanting:
            reporter.write_line(f"{len(wanting)} tests were skipped for want of PostgreSQL.")


# --- tables that are made once ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sample_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a run over sample_data/ with the options of the README; no test changes them."""
    out = tmp_path_factory.mktemp("samples") / "tables"
    files = [ROOT / "sample_data" / name for name in ("access.log.gz", "webhooks.jsonl")]
    etl.run(files, out, account="acme-7Qx2", integration="shop-checkout", default_currency="EUR")
    return out


@pytest.fixture(scope="session")
def planted_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of four weeks of logs with planted gaps; no test changes them."""
    base = tmp_path_factory.mktemp("planted")
    etl.run(planted.write_logs(base / "logs"), base / "tables")
    return base / "tables"


@pytest.fixture
def remembered_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has each batch transformed once in a test by the same rules: that is pure, and the costly part of a small run."""
    made: dict[object, etl.Tables] = {}
    transform = tasks.transform

    def remembered(requests: pl.DataFrame, *rules: object) -> etl.Tables:
        batch = (repr(requests.rows()), *rules)
        return made.get(batch) or made.setdefault(batch, transform(requests, *rules))

    monkeypatch.setattr(tasks, "transform", remembered)


# --- an object store --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of a server of S3's protocol."""
    with s3.s3_server() as address:
        yield address


@pytest.fixture(scope="module")
def make_bucket(s3_address: str) -> Iterator[Callable[[str], str]]:
    """What makes a bucket in an object store; the environment of these tests leads there."""
    with s3.leading_to(s3_address):
        yield s3.make_bucket


# --- a database -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgresql_address() -> Iterator[str]:
    """The address of a PostgreSQL that these tests have started."""
    if not postgresql.PROGRAMS:
        pytest.skip(f"{_NO_POSTGRESQL}: apt-get install postgresql")
    with postgresql.postgresql_server() as address:
        yield address
