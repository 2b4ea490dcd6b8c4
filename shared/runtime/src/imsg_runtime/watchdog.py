"""A parent process that kills and replaces a child whose event loop hangs: no thread of the child could do that.

Python holds the interpreter's lock while a regular expression runs, so the watchdog must be another process (ADR 15).
It is small: it forks before a service is loaded, and imports next to nothing.
"""

import os
import signal
import sys
import time

HEARTBEAT = "HEARTBEAT"
"""The child's environment variable: `PID FD NAME STOPPED…`, read by `imsg_runtime.heartbeat`."""

PROCESSOR_S = 20.0
"""The processor time without a heartbeat after which a child is killed; wall-clock time would count a busy machine."""

STOPPED_S = 50.0
"""How long a child may be stopped (SIGSTOP) while the parent runs: a supervisor waits for a minute."""

POLL_S = 1.0
"""How often the parent checks, and a child writes its heartbeat."""

LAST_WORDS_S = 1.0
"""How long a child may take to print its stacks, which the signal handler does."""

PAUSE_S = 1.0
"""The pause before a killed child is replaced."""

REMEMBERED = 8
"""How many stopped children are passed to a new one, which writes them to Redis."""

SHOW = signal.SIGUSR1
"""The signal at which a watched process prints the stacks of all its threads."""

PR_SET_PDEATHSIG = 1
"""<sys/prctl.h>"""

_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
_FORWARDED = _ENDING | {signal.SIGUSR1, signal.SIGUSR2}
_CAUGHT = _FORWARDED | {signal.SIGCHLD, signal.SIGALRM}
_SI_KERNEL = 0x80
"""<asm-generic/siginfo.h>: a terminal's Ctrl-C, which the whole process group receives."""


def watch(processor_s: float = PROCESSOR_S, stopped_s: float = STOPPED_S) -> None:
    """Fork: return in the child; watch it in the parent, and exit with the child's status.

    After its first heartbeat, a child without another one for so much processor time, or so long a stop, is killed and
    replaced. Signals are forwarded to the child, and it dies with its parent. A process that is watched already, or
    does not run on Linux, returns at once.
    """
    if sys.platform != "linux" or is_watched():
        return
    # What nohup ignores stays ignored: a blocked signal would come all the same.
    caught = _CAUGHT - {number for number in (signal.SIGHUP,) if signal.getsignal(number) is signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    # Its ticks end the waits: Python's sigtimedwait makes up a signal where it is stopped past its time (SIGSTOP).
    signal.setitimer(signal.ITIMER_REAL, POLL_S, POLL_S)
    stopped: list[str] = []
    while True:
        child = _fork(before, stopped)
        if child is None:
            return
        status = child.attend(processor_s, stopped_s)
        if child.ended_for is None or child.asked_to_end or _wait_for_end(PAUSE_S):
            _exit(status)
        if child.ended_for == "stopped":
            stopped = [*stopped, child.name][-REMEMBERED:]


def is_watched() -> bool:
    """Return whether this process has a parent that watches it."""
    return os.environ.get(HEARTBEAT, "").split(" ")[0] == str(os.getpid())


class _Child:
    def __init__(self, pid: int, name: str, signs: int) -> None:
        self.name = name
        self.ended_for: str | None = None
        self.asked_to_end = False
        self._pid = pid
        self._signs = signs
        self._gave_signs = False

    def attend(self, processor_s: float, stopped_s: float) -> int:
        """Watch until it has ended; return its wait status."""
        used_s, stood_s, looked = 0.0, 0.0, time.monotonic()
        try:
            while (status := self._reap()) is None:
                self._forward(signal.sigwaitinfo(_CAUGHT))
                passed, looked = time.monotonic() - looked, time.monotonic()
                now_s, is_stopped = _read_standing(self._pid)
                if self._has_given_a_sign():
                    used_s = now_s
                # While this process was stopped too, it watched no child.
                stood_s = stood_s + min(passed, 2 * POLL_S) if is_stopped else 0.0
                if not self._gave_signs:
                    continue  # it loads, or it is no service at all
                if now_s - used_s > processor_s:
                    self._end("spins", f"has used {now_s - used_s:.0f} s of processor time without a sign of life")
                elif stood_s > stopped_s:
                    self._end("stopped", f"was stopped {stood_s:.0f} s ago")
            return status
        finally:
            os.close(self._signs)

    def _reap(self) -> int | None:
        """Reap the processes that have ended: as process 1 of a container, any process."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if pid == self._pid:
                return status
            if pid == 0:
                return None

    def _forward(self, caught: signal.struct_siginfo) -> None:
        if caught.si_signo not in _FORWARDED:
            return
        if caught.si_code != _SI_KERNEL:
            os.kill(self._pid, caught.si_signo)
        if caught.si_signo in _ENDING:
            self.asked_to_end = True
            os.kill(self._pid, signal.SIGCONT)  # a stopped child still shuts down in good order

    def _has_given_a_sign(self) -> bool:
        signs = False
        try:
            while os.read(self._signs, 4096):
                signs = True
        except BlockingIOError:
            pass
        self._gave_signs |= signs
        return signs

    def _end(self, why: str, behaviour: str) -> None:
        self.ended_for = why
        _write(f"process {self._pid} {behaviour}; it is ended" + (". It stands at:" if why == "spins" else "."))
        if why == "spins":
            os.kill(self._pid, SHOW)
            time.sleep(LAST_WORDS_S)
        os.kill(self._pid, signal.SIGKILL)
        os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)


def _fork(mask: "set[int | signal.Signals]", stopped: list[str]) -> _Child | None:
    """Fork; return the child to its parent, and nothing to the child."""
    signs, gives = os.pipe()
    name, parent = os.urandom(6).hex(), os.getpid()
    pid = os.fork()
    if pid:
        os.close(gives)
        os.set_blocking(signs, False)
        return _Child(pid, name, signs)
    os.close(signs)
    os.set_blocking(gives, False)
    os.set_inheritable(gives, True)  # noqa: FBT003  it may become another program, the same process still
    _die_with(parent)
    os.environ[HEARTBEAT] = " ".join([str(os.getpid()), str(gives), name, *stopped])
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return None


def _die_with(parent: int) -> None:
    """Make the kernel kill this process when its parent dies; an orphan would hold port and folder."""
    import ctypes  # noqa: PLC0415  the parent never needs it

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def _read_standing(pid: int) -> tuple[float, bool]:
    """Return the processor time that a process has used, in seconds, and whether it is stopped (not: traced)."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  pathlib is not worth its memory here
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), fields[0] == b"T"


def _wait_for_end(pause_s: float) -> bool:
    until = time.monotonic() + pause_s
    while time.monotonic() < until:
        if signal.sigwaitinfo(_CAUGHT).si_signo in _ENDING:
            return True
    return False


def _exit(status: int) -> None:
    """End as the child did."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)  # process 1 lives on
    os._exit(128 + number if number else os.WEXITSTATUS(status))


def _write(line: str) -> None:
    os.write(2, f"imsg: {line}\n".encode())
