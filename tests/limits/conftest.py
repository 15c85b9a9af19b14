"""A real Redis server for the tests that need one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def free_port() -> int:
    """A port of this host that is not in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class RedisServer:
    """A separate server that stores nothing on disk. It can be stopped and started again."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.port = program, free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start the server and return when it accepts connections."""
        self.process = subprocess.Popen(self._command, cwd=self._folder, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("redis-server did not start in ten seconds")

    def stop(self) -> None:
        """Kill the server."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Start a server, or skip the test if none is installed."""
    pytest.importorskip("redis", reason="redis-py is not installed; it comes with the extra redis")
    program = shutil.which("redis-server") or shutil.which("redis-server", path="/usr/sbin")
    if program is None:
        pytest.skip("redis-server is not installed; on Debian: apt-get install redis-server")
    server = RedisServer(program, tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()
