"""A real PostgreSQL on this machine: Debian's, run by its own user where the tests run as root, on a socket alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "autovacuum": "off",
}


@contextmanager
def postgresql_server() -> Iterator[str]:
    """The address of a server with one database that is empty."""
    programs = PROGRAMS[-1].parent
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=memory if os.access(memory, os.W_OK) else None))
    how: dict[str, Any] = {"cwd": folder, "env": {"LC_ALL": "C.UTF-8"}, "stdout": subprocess.DEVNULL}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        how |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    try:
        made = ["-A", "trust", "-E", "UTF8", "-U", "postgres", "--no-sync", "--no-instructions"]
        subprocess.run([programs / "initdb", "-D", folder / "data", *made], check=True, **how)
        words = [programs / "postgres", "-D", folder / "data", "-k", folder, *options]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL, **how) as server:
            try:
                while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode:
                    assert server.poll() is None
                    time.sleep(0.05)
                yield f"postgresql://postgres@/postgres?host={folder}"
            finally:
                server.send_signal(signal.SIGQUIT)  # at once: nobody needs what it holds
    finally:
        shutil.rmtree(folder)
