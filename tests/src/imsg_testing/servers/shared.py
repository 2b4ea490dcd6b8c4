"""A server that the workers of a run share: the first that wants it starts it, and ends it when no other uses it.

Who uses a server holds a lock of the kernel's, which a worker that dies gives back.
"""

import fcntl
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from imsg_testing.servers.server import Server

S = TypeVar("S", bound=Server)


class SharedServer(Generic[S]):
    """One worker's use of a server."""

    def __init__(self, kind: type[S], folder: Path) -> None:
        """`folder` is the same for all workers of a run."""
        self._record = folder / f"{kind.__name__}.pickle"
        self._is_owner = False
        with _locked(folder, kind.__name__):
            self._users = (folder / f"{kind.__name__}.users").open("w")
            fcntl.flock(self._users, fcntl.LOCK_SH)
            self.server: S = self._find() or self._start(kind)

    def leave(self) -> None:
        """Use it no longer; who started it waits for the others, and ends it."""
        if self._is_owner:
            fcntl.flock(self._users, fcntl.LOCK_UN)
            fcntl.flock(self._users, fcntl.LOCK_EX)
            self._record.unlink()
            self.server.close()
        self._users.close()

    def _find(self) -> S | None:
        if not self._record.exists():
            return None
        server: S = pickle.loads(self._record.read_bytes())  # noqa: S301  written by another worker of this run
        return server

    def _start(self, kind: type[S]) -> S:
        server = kind()
        try:
            server.start()
        except BaseException:
            server.close()
            raise
        self._is_owner = True
        self._record.write_bytes(pickle.dumps(server))
        return server


def once(folder: Path, name: str, make: Callable[[], object]) -> None:
    """Make something, unless another worker has made what has this name."""
    with _locked(folder, name):
        if not (made := folder / f"{name}.made").exists():
            make()
            made.touch()


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def using(kind: type[S], folder: Path) -> Iterator[S]:
    """Use a server for as long as a context lasts."""
    shared = SharedServer(kind, folder)
    try:
        yield shared.server
    finally:
        shared.leave()
