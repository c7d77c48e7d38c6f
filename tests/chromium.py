"""A page in a headless Chromium, driven over the pipe of its own protocol: one start serves many tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
)
_MOST_SECONDS: Final = 180

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Tab:
    """An open page.

    Attributes:
        complaints: What the browser wrote to the console.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing, self._rest, self._number = reading, writing, b"", 0
        self._session: str | None = None
        self._events: list[str] = []
        self.complaints: list[Any] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": params, **session}
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, page: Path, *, width: int = 1280, scheme: str = "light") -> None:
        """Opens a page and waits until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def run(self, script: str) -> Any:
        """Returns the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _receive(self) -> dict[str, Any]:
        parts = [self._rest]
        while b"\0" not in parts[-1]:  # a page as text or on paper has megabytes: each part is searched once
            parts.append(os.read(self._reading, 1 << 16) or b"{}\0")
        message, _, self._rest = b"".join(parts).partition(b"\0")
        got: dict[str, Any] = json.loads(message)
        assert got, "the browser has ended"
        self._events.append(got.get("method", ""))
        if got.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(got["params"])
        return got


@contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """A tab of a new browser, which ends with the block, or after some minutes."""
    commands, answers = os.pipe(), os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, commands[0], 3),
        (os.POSIX_SPAWN_DUP2, answers[1], 4),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}"]
    process = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    limit = threading.Timer(_MOST_SECONDS, os.kill, (process, signal.SIGKILL))
    limit.start()
    for end in (commands[0], answers[1]):
        os.close(end)
    try:
        made = Tab(answers[0], commands[1])
        yield made
        made.call("Browser.close")
    finally:
        for end in (commands[1], answers[0]):
            os.close(end)
        limit.cancel()
        if not os.waitpid(process, os.WNOHANG)[0]:
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)
