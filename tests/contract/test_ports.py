"""Reserved ports of the tests are exclusive, and a test knows which process answers on them."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from imsg_testing.processes import Process
from imsg_testing.servers import accepts, reserve_port
from imsg_testing.waiting import wait

FEW = range(31_000, 31_060)
"""Narrow, so that runs at once want the same."""

EACH = 12

HOLDING = f"""
import sys
from imsg_testing.servers import reserve_port
sys.stdin.readline()
held = [reserve_port(ports=range({FEW.start}, {FEW.stop})) for _ in range({EACH})]
print(*held, flush=True)
sys.stdin.readline()
"""


def _make_server(port: int, folder: Path) -> Process:
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    return Process(command, log=folder / "server.log", cwd=folder)


def test_runs_at_once_never_take_each_others_ports() -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        for run in runs:
            assert run.stdin
            run.stdin.write("go\n")
            run.stdin.flush()
        taken = [port for run in runs if run.stdout for port in run.stdout.readline().split()]
    finally:
        for run in runs:
            run.communicate("end\n", timeout=30)

    assert len(taken) == len(runs) * EACH
    assert len(set(taken)) == len(taken)


def test_a_reserved_port_is_ours_before_between_and_after_its_servers(tmp_path: Path) -> None:
    port = reserve_port()
    served = _make_server(port, tmp_path)
    try:
        for _ in range(2):
            assert not accepts(port)
            served.start()
            wait(lambda: accepts(port), why=served.last_lines)
            served.kill()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    finally:
        served.close()


def test_a_stranger_on_our_port_is_recognized(tmp_path: Path) -> None:
    port = reserve_port()
    stranger = _make_server(port, tmp_path)
    ours = Process([sys.executable, "-c", "input()"], log=tmp_path / "ours.log")
    try:
        stranger.start()
        wait(lambda: accepts(port), why=stranger.last_lines)
        ours.start()

        stranger.require_port(port)
        with pytest.raises(RuntimeError, match="another process answers"):
            ours.require_port(port)
    finally:
        stranger.close()
        ours.close()
