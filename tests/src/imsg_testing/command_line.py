"""The command line as tests run it: each verb in the test's own process, by Typer's runner."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from structlog.testing import capture_logs
from typer.testing import CliRunner

from imsg.command import run
from imsg.location import find_zone

IMSG = Path(sys.executable).parent / "imsg"

VERB_TIMEOUT_S = 200.0
"""How long a verb may take. One that loads all of iMSG needs 2 s of a processor, and took 40 s where none of it had
been read from the disk before and others kept that busy."""

Ended = subprocess.CompletedProcess[str]
"""A verb that ended: its exit code, and what it printed."""


def run_imsg(*words: str, env: Mapping[str, str], cwd: Path, given: str = "") -> Ended:
    """Run a verb, which reads `given`, with this environment alone and in this folder."""
    code: object = 0
    with contextlib.chdir(cwd), _standing_in(env), CliRunner().isolation(given) as (out, err, _), capture_logs():
        try:
            run(words)
        except SystemExit as ended:
            code = ended.code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return Ended(words, code if isinstance(code, int) else 0, out.getvalue().decode(), err.getvalue().decode())


@contextlib.contextmanager
def _standing_in(env: Mapping[str, str]) -> Iterator[None]:
    """Give this process an environment, and forget what a verb reads of it once a process."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(env)
        time.tzset()
        find_zone.cache_clear()
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        time.tzset()
        find_zone.cache_clear()


def run_imsg_apart(*words: str, env: Mapping[str, str], cwd: Path, given: str = "") -> Ended:
    """Run a verb as a shell does, in a process of its own."""
    return subprocess.run(
        [IMSG, *words],
        env=env,
        cwd=cwd,
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=VERB_TIMEOUT_S,
        check=False,
    )
