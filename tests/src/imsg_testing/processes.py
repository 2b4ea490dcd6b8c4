"""A child process: started without the terminal, ended with its children, killed when the test run dies."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

END_TIMEOUT_S = 10.0
"""How long a process may take to end after it was asked; then it is killed."""

SIGNAL_TIMEOUT_S = 60.0
"""How long the kernel may take to stop or kill a process on a busy machine."""

LISTENS = "0A"
"""TCP_LISTEN, as /proc/net/tcp writes it (Linux, include/net/tcp_states.h)."""


STOPPED = frozenset("Tt")
ENDED = frozenset("ZX")
"""States of a thread as /proc/PID/stat writes them (proc_pid_stat(5)); the ended one waits to be reaped."""


class Process:
    """A command that can be started, killed, paused and started again.

    The kernel ends it when this Python process dies, however it dies. On Linux that signal comes when the *thread*
    that started the child ends, so one thread of our own starts it and stays.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        ends_on: signal.Signals = signal.SIGTERM,
        orphaned: signal.Signals = signal.SIGKILL,
    ) -> None:
        self._command = (*_wrap(user, orphaned), *command)
        self._environment = environment
        self._cwd = cwd
        self._log = log
        self._ends_on = ends_on
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="process-starter")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError where it does not run."""
        if self._child is None:
            raise RuntimeError(f"{self._command} was not started")
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs or before it was started."""
        return None if self._child is None else self._child.poll()

    @property
    def runs(self) -> bool:
        """Whether it is started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the command; its output goes to the end of the log."""
        self._child = self._starter.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self._environment is None else dict(self._environment),
                cwd=self._cwd,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to all that descend from it."""
        if self._child is None or self._child.poll() is not None:
            return
        for pid in (self._child.pid, *descendants(self._child.pid)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def pause(self) -> None:
        """Freeze it (SIGSTOP) and return when every thread has stopped."""
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + SIGNAL_TIMEOUT_S
        while any(_find_states(pid) - STOPPED - ENDED for pid in (self.pid, *descendants(self.pid))):
            if time.monotonic() > deadline:
                raise RuntimeError(f"process {self.pid} did not stop")
            time.sleep(0.005)

    def kill(self) -> None:
        """End it and all that descend from it at once, as a crash does (SIGKILL); return when all have ended.

        It is stopped first, so that it starts no further child meanwhile. A child that still ends holds what the next
        start asks for: PostgreSQL refuses to start while one has its shared memory.
        """
        if self._child is None or self._child.poll() is not None:
            return
        os.kill(self._child.pid, signal.SIGSTOP)
        children = descendants(self._child.pid)
        self.signal(signal.SIGKILL)
        self._child.wait(SIGNAL_TIMEOUT_S)
        deadline = time.monotonic() + SIGNAL_TIMEOUT_S
        while any(_find_states(pid) - ENDED for pid in children):
            if time.monotonic() > deadline:
                raise RuntimeError(f"a child of process {self._child.pid} did not end")
            time.sleep(0.005)

    def end(self, within_s: float = END_TIMEOUT_S) -> None:
        """Stop the process by its signal, and kill it if it does not end in time."""
        if self._child is None or self._child.poll() is not None:
            return
        self.signal(signal.SIGCONT)
        self._child.send_signal(self._ends_on)
        try:
            self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def close(self) -> None:
        """End it for good: gracefully if it has children, at once if it has none."""
        if self.runs and descendants(self.pid):
            self.end()
        self.kill()
        self._starter.shutdown()

    def require_port(self, port: int) -> None:
        """Raise RuntimeError if another process listens on the port."""
        if not self.serves(port):
            raise RuntimeError(f"another process answers on port {port}; ours said:\n{self.last_lines()}")

    def serves(self, port: int) -> bool:
        """Return whether this process or a descendant listens on a port of this machine.

        Where the kernel does not tell (outside Linux) it is believed.
        """
        inodes = _find_listening(port)
        if inodes is None:
            return True
        return self.runs and any(inodes & _sockets(pid) for pid in (self.pid, *descendants(self.pid)))

    def last_lines(self, count: int = 20) -> str:
        """Return the end of what it has written."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-count:])


def _find_states(pid: int) -> set[str]:
    """Return the states of a process's threads, none where it has gone (Linux; none elsewhere)."""
    states = set()
    for entry in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError, IndexError):  # it has just gone
            states.add(entry.read_text(errors="replace").rpartition(")")[2].split()[0])
    return states


def descendants(pid: int) -> list[int]:
    """Return the ids of the descendants of a process (Linux; none elsewhere)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    results: list[int] = []
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            results.append(child)
            waiting.append(child)
    return results


def _find_listening(port: int) -> set[str] | None:
    """Find the sockets that listen on a port, by their inodes; None where the kernel does not report them."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not any(table.exists() for table in tables):
        return None
    found = set()
    for table in tables:
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state, *_, inode = line.split()[:10]
            if state == LISTENS and int(local.rpartition(":")[2], 16) == port:
                found.add(inode)
    return found


def _sockets(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):  # it has just gone
            if (target := str(entry.readlink())).startswith("socket:["):
                found.add(target.removeprefix("socket:[").removesuffix("]"))
    return found


def _wrap(user: str | None, orphaned: signal.Signals) -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if user is not None:
            raise RuntimeError(f"setpriv is needed to run a server as {user}; install util-linux.")
        return ()
    dying = orphaned.name.removeprefix("SIG")
    as_user = ("--reuid", user, "--regid", user, "--init-groups") if user is not None else ()
    return (setpriv, *as_user, "--pdeathsig", dying, "--")
