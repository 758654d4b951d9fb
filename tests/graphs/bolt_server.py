"""A real Bolt server in a process of its own: ArcadeDB with its own Java. Run with a folder and two ports.

It says 'ready' when it answers, and ends when its standard input closes.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATABASE = "kg"


@contextmanager
def bolt_server(folder: Path) -> Iterator[tuple[str, str]]:
    """Start it; give its address and the password of its user 'root'."""
    password = secrets.token_hex(12)
    ports = _free_ports(2)
    with (folder / "server.log").open("w+") as log:
        child = subprocess.Popen(
            [sys.executable, __file__, str(folder / "data"), password, *map(str, ports)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder,
        )  # fmt: skip
        assert child.stdin and child.stdout
        try:
            said = next((line for line in child.stdout if line.strip() == "ready"), "")
            assert said, (folder / "server.log").read_text()
            yield f"bolt://root@127.0.0.1:{ports[1]}/{DATABASE}", password
        finally:
            child.stdin.close()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            child.stdout.close()


def _free_ports(count: int) -> list[int]:
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def main(folder: str, password: str, http_port: str, bolt_port: str) -> None:
    import arcadedb_embedded

    settings = {
        "host": "127.0.0.1", "http_port": int(http_port),
        "server_plugins": "BoltProtocolPlugin", "bolt_port": int(bolt_port), "bolt_host": "127.0.0.1",
    }  # fmt: skip
    server = arcadedb_embedded.create_server(root_path=folder, root_password=password, config=settings)
    server.start()
    server.create_database(DATABASE)
    print("ready", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
