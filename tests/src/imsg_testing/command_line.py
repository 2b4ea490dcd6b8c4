"""The command line as tests run it: each verb is a process, forked from a server that has loaded `imsg` once."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from imsg.command import main

IMSG = Path(sys.executable).parent / "imsg"

VERB_TIMEOUT_S = 200.0
"""How long a verb may take. One that loads all of iMSG needs 2 s of a processor, and took 40 s where none of it had
been read from the disk before and others kept that busy."""

Ended = subprocess.CompletedProcess[str]
"""A verb that ended: its exit code, and what it printed."""

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__, "imsg.doctor.main", "imsg.status", "imsg.upgrade_check"])


def run_imsg(*words: str, env: Mapping[str, str], cwd: Path, given: str = "") -> Ended:
    """Run a verb of the command line, which reads `given`; an `imsg up` that is to serve is a `Deployment`."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        for stream, text in zip(streams, (given, "", ""), strict=True):
            stream.write_text(text, encoding="utf-8")
        process = _PROCESSES.Process(target=_run, args=(words, dict(env), cwd, streams))
        process.start()
        process.join(VERB_TIMEOUT_S)
        code = process.exitcode
        process.kill()
        process.join()
        process.close()
        _, out, err = (stream.read_text(encoding="utf-8") for stream in streams)
    assert code is not None, f"imsg {words} did not end: {out}{err}"
    return Ended(words, code, out, err)


def _run(words: Sequence[str], env: Mapping[str, str], cwd: Path, streams: Sequence[Path]) -> None:
    """Run a verb in this process, with its standard streams in files."""
    for number, (stream, mode) in enumerate(zip(streams, "rww", strict=True)):
        with stream.open(mode) as opened:
            os.dup2(opened.fileno(), number)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww")
    )
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = [str(IMSG), *words]
    main()
