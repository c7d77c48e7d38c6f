"""The commonest carriers in plain Python: each writes records of others, and opens what it has written."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Final

STAMP: Final = "2024-05-01T12:00:00.5Z"
SYSLOG: Final = re.compile(r"<\d+>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ [\w-]+(?:\[\d+\])?: ")


def docker_lines(texts: list[str], rng: random.Random) -> list[str]:
    """Records of Docker's json-file; long lines are cut into pieces, between which the other stream may write."""
    written = []
    for text in texts:
        whole, places = (
            text + "\n",
            sorted(rng.sample(range(1, max(len(text), 2)), rng.randint(0, min(2, len(text) // 9)))),
        )
        for start, end in zip((0, *places), (*places, len(whole)), strict=True):
            written.append(
                json.dumps({"log": whole[start:end], "stream": "stdout", "time": STAMP}, separators=(",", ":"))
            )
    return written


def open_docker(lines: list[str]) -> list[str]:
    found, waiting = [], ""
    for line in lines:
        waiting += json.loads(line)["log"]
        if waiting.endswith("\n"):
            found.append(waiting.removesuffix("\n"))
            waiting = ""
    return found


def syslog_lines(texts: list[str], rng: random.Random) -> list[str]:
    return [f"<190>May  {rng.randint(1, 9)} 12:00:00 web-1 nginx[{rng.randint(1, 999)}]: {text}" for text in texts]


def open_syslog(lines: list[str]) -> list[str]:
    return [SYSLOG.sub("", line, count=1) for line in lines]


def shipped_lines(texts: list[str], rng: random.Random) -> list[str]:
    return [
        json.dumps({"@timestamp": STAMP, rng.choice(("message", "log")): text, "host": {"name": "web-1"}})
        if rng.random() < 0.9
        else json.dumps({"@timestamp": STAMP, "event": {"original": text}, "message": "parsed"})
        for text in texts
    ]


def open_shipped(lines: list[str]) -> list[str]:
    values = [json.loads(line) for line in lines]
    return [value.get("event", {}).get("original") or value.get("log") or value["message"] for value in values]


Wrap = Callable[[list[str], random.Random], list[str]]
CARRIERS: Final[dict[str, tuple[Wrap, Callable[[list[str]], list[str]]]]] = {
    "docker": (docker_lines, open_docker),
    "syslog": (syslog_lines, open_syslog),
    "message": (shipped_lines, open_shipped),
}
