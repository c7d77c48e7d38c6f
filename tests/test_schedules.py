"""What stands in docs/examples works: cron, systemd, Airflow, the container, the alerts; and the page about them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

from etl.telemetry.metrics import METRICS, PREFIX
from tests.commands import run
from tests.effort import thorough

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
BIN = Path(sys.executable).parent
AIRFLOW = ROOT / ".venv-airflow" / "bin" / "python"
LINE = '192.0.2.1 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2 "-" "-"\n'


def example(name: str) -> str:
    return (EXAMPLES / name).read_text(encoding="utf-8")


def moved(command: str, tmp_path: Path) -> str:
    """A command whose files lie in a folder of ours."""
    for place in ("/var/log/nginx", "/srv/postbacks", "/var/lib/prometheus/node-exporter"):
        (tmp_path / place[1:]).mkdir(parents=True, exist_ok=True)
    (tmp_path / "var/log/nginx/access.log.1").write_text(LINE, encoding="utf-8")
    return re.sub(r"(?<![\w/.])/(?=var/|srv/)", f"{tmp_path}/", command)


def shell(command: str) -> None:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    finished = subprocess.run(["sh", "-c", command], capture_output=True, check=False, text=True, env=environment)
    assert finished.returncode == 0, finished.stderr


def metrics(tmp_path: Path) -> str:
    return (tmp_path / "var/lib/prometheus/node-exporter/postback_etl.prom").read_text(encoding="utf-8")


def test_the_lines_of_cron_run(tmp_path: Path) -> None:
    jobs = [line for line in example("crontab").splitlines() if re.match(r"[\d*]", line)]
    assert len(jobs) == 2
    for job in jobs:
        *times, user, command = re.split(r"\s+", job, maxsplit=6)
        assert [time for time in times if not re.fullmatch(r"\*|\d+", time)] == []
        assert user == "etl"
        assert "%" not in command
        shell(moved(command, tmp_path))
    assert 'postback_etl_last_run_conversions{command="load"' in metrics(tmp_path)


def test_the_service_runs(tmp_path: Path) -> None:
    (command,) = re.findall("^ExecStart=(.*)$", example("postback-etl.service"), re.MULTILINE)
    words = [moved(word, tmp_path) for word in shlex.split(command.replace("/opt/postback-etl/bin", str(BIN)))]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0  # no shell opens the glob
    assert 'postback_etl_last_run_conversions{command="load"' in metrics(tmp_path)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for name in ("postback-etl.service", "postback-etl.timer"):
        (tmp_path / name).write_text(example(name).replace("/opt/postback-etl/bin", str(BIN)), encoding="utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True,
        check=False,
        text=True,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


_READ_DAGS = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder=sys.argv[1])
dag, = bag.dags.values()
said = {task.task_id: (task.bash_command, sorted(task.upstream_task_ids)) for task in dag.topological_sort()}
print(json.dumps({"errors": bag.import_errors, "tasks": said}))
"""


@thorough
@pytest.mark.skipif(not AIRFLOW.exists(), reason="`make check` makes Airflow's environment")
def test_airflow_reads_the_dag_and_its_commands_run(tmp_path: Path) -> None:
    settings = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    finished = subprocess.run(
        [AIRFLOW, "-c", _READ_DAGS, EXAMPLES / "airflow_dag.py"],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, **settings},
    )
    read = json.loads(finished.stdout.splitlines()[-1])
    assert read["errors"] == {}
    assert {task: upstream for task, (_, upstream) in read["tasks"].items()} == {"load": [], "verify": ["load"]}
    (tmp_path / "srv/logs/2024-05-01").mkdir(parents=True)
    (tmp_path / "srv/logs/2024-05-01/a.gz").write_text(LINE, encoding="utf-8")
    for command, _ in read["tasks"].values():
        shell(moved(command.replace("{{ ds }}", "2024-05-01"), tmp_path))


def quick_compiler(folder: Path) -> Path:
    """A compiler that optimises nothing: that took most of the time, and the tests run the loops of `make setup`."""
    path = folder / "cc"
    path.write_text(f'#!/bin/sh\nexec {sysconfig.get_config_var("CC")} "$@" -O0\n', encoding="utf-8")
    path.chmod(0o755)
    return path


@thorough
def test_the_container_is_made_of_what_is_there_and_its_command_runs(tmp_path: Path) -> None:
    text = example("Dockerfile").replace("\\\n", " ")
    context, target = tmp_path / "context", tmp_path / "target"
    context.mkdir()
    allowed = set(re.findall("^!(.*)$", example("Dockerfile.dockerignore"), re.MULTILINE))
    for words in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        for source in words.split()[:-1]:
            assert source in allowed
            place = ROOT / source
            if place.is_dir():
                shutil.copytree(place, context / source, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
            else:
                shutil.copy2(place, context / source)
    for made in (ROOT / "build" / "etl").rglob("*.c"):  # by `make setup`; what is older than its source is made anew
        place = context / made.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(made, place)
    (extras,) = re.findall(r"'\.\[(.*)\]'", text)
    project = tomllib.loads((context / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert "--constraint constraints.txt" in text
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    compiler = {"CC": str(quick_compiler(tmp_path))}
    subprocess.run([*pip, "--target", target, context], check=True, capture_output=True, env={**os.environ, **compiler})
    assert len(list(target.glob("etl/**/*.so"))) == len(list(context.glob("etl/**/*.pxd")))
    entry, arguments = (json.loads(words) for words in re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", text, re.MULTILINE))
    environment = {**os.environ, "PYTHONPATH": str(target)}
    finished = subprocess.run(
        [target / "bin" / entry[0], *arguments], capture_output=True, check=True, text=True, env=environment
    )
    assert "Usage: postback-etl" in finished.stdout
    assert re.search(r"^USER (?!0|root)", text, re.MULTILINE)


def _has_docker() -> bool:
    """Whether there is a Docker daemon that can be asked."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@thorough
def test_docker_builds_and_runs_the_container(tmp_path: Path) -> None:
    if not _has_docker():
        pytest.skip("no Docker daemon runs here")
    build = ["docker", "build", "--quiet", "--file", EXAMPLES / "Dockerfile", ROOT]
    image = subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "access.log.1").write_text(LINE, encoding="utf-8")
    tmp_path.chmod(0o755)
    job = ["docker", "run", "--rm", "--volume", f"{tmp_path}:/logs:ro", image]
    finished = subprocess.run([*job, "run", "/logs/access.log.1", "--out", "tables"], check=True, capture_output=True)
    assert b"1 record = 1 conversion" in finished.stderr
    who = subprocess.run([*job[:-1], "--entrypoint", "id", image, "-u"], check=True, capture_output=True, text=True)
    assert who.stdout == "10001\n"


def test_the_jobs_of_the_compose_file_run(tmp_path: Path) -> None:
    """Without Docker: the commands, with the environment of the jobs and its files in a folder of ours."""
    services = yaml.safe_load(example("compose.yaml"))["services"]
    assert services.keys() == {"load", "nightly"}
    for name, service in services.items():
        top = tmp_path / name
        (top / "logs").mkdir(parents=True)
        (top / "data").mkdir()
        (top / "logs" / "access.log.1").write_text(LINE, encoding="utf-8")
        assert (EXAMPLES / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        told = {key: re.sub("^/(?=data)", f"{top}/", value) for key, value in service["environment"].items()}
        if name == "load":
            words = [word.replace("/logs", f"{top}/logs") for word in service["command"]]
            run(*words, env={**os.environ, **told})
        else:
            (script,) = service["command"]
            once = "n=0; sleep() { [ $1 -gt 0 ] && [ $n = 0 ] && n=1; }\n" + script.replace("$$", "$")
            words = ["sh", "-c", once.replace("/logs", f"{top}/logs")]
            path = f"{BIN}:{os.environ['PATH']}"
            subprocess.run(words, env={**os.environ, **told, "PATH": path}, check=False, capture_output=True)
        assert 'last_run_conversions{command="load"' in (top / "data" / "postback_etl.prom").read_text(encoding="utf-8")


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    rules = [rule for group in yaml.safe_load(example("alerts.yml"))["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(rf"{PREFIX}\w+", rule["expr"])}
    assert len(asked) >= 5
    assert asked <= {PREFIX + metric.name for metric in METRICS}
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "rules", EXAMPLES / "alerts.yml"], check=True, capture_output=True)


def test_the_page_names_files_and_options_that_there_are() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", page)]
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    linked = {Path(link).name for link in links}
    files = [path for path in EXAMPLES.iterdir() if path.is_file()]  # reading the DAG leaves a folder
    assert {path.name for path in files if path.suffix not in (".txt", ".dockerignore")} <= linked
    helps = "".join(
        run(*command.split(), "--help").stdout.decode()
        for command in ("run", "load", "backfill", "audit", "loads verify")
    )
    assert [flag for flag in re.findall(r"(?<!\w)--[a-z][a-z-]+", page) if flag not in helps] == []
