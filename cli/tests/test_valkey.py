"""The embedded Valkey: durable, private, and gone with its parent however that ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imsg import data_folder, valkey
from imsg_runtime import redis

RUN = """
import asyncio, sys
from pathlib import Path
from imsg import data_folder, valkey
async def main():
    place = Path(sys.argv[1])
    async with data_folder.hold(place) as lock:
        server = valkey.Valkey(place, lock)
        async with server.running():
            print(server.pid, flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""


@asynccontextmanager
async def _running(place: Path, lock: int) -> AsyncIterator[valkey.Valkey]:
    server = valkey.Valkey(place, lock)
    async with server.running():
        yield server


def _wait(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    patience = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < patience, "it did not come true"
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_what_was_written_outlives_it(tmp_path: Path) -> None:
    async with data_folder.hold(tmp_path) as lock:
        async with _running(tmp_path, lock) as server, redis.connect(server.url) as client:
            await client.call("SET", "name", "天存")
        async with _running(tmp_path, lock) as server, redis.connect(server.url) as client:
            assert await client.call("GET", "name") == "天存".encode()
            assert valkey.find_running(tmp_path) == server.url
    assert valkey.find_running(tmp_path) is None


async def test_every_write_is_on_disk_and_nothing_is_evicted(tmp_path: Path) -> None:
    async with (
        data_folder.hold(tmp_path) as lock,
        _running(tmp_path, lock) as server,
        redis.connect(server.url) as client,
    ):
        persistence = await client.call("INFO", "persistence")
        memory = await client.call("INFO", "memory")
    assert b"aof_enabled:1\r\n" in persistence
    assert b"maxmemory_policy:noeviction\r\n" in memory


async def test_it_is_started_anew_when_it_dies(tmp_path: Path) -> None:
    async with data_folder.hold(tmp_path) as lock, _running(tmp_path, lock) as server:
        staying = asyncio.create_task(server.stay())
        before = server.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(60):
            while server.pid in (None, before):  # noqa: ASYNC110  a condition with a bound
                await asyncio.sleep(0.01)
        async with redis.connect(server.url) as client, asyncio.timeout(60):
            await _answers(client)
        staying.cancel()


async def _answers(client: redis.Redis) -> None:
    while True:
        try:
            assert await client.call("PING")
        except redis.RedisUnavailable:
            await asyncio.sleep(0.01)
        else:
            return


async def test_one_that_keeps_dying_ends_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "DEATHS_WITHIN_S", 3_600.0)  # however long its starts take
    async with data_folder.hold(tmp_path) as lock, _running(tmp_path, lock) as server:
        staying = asyncio.create_task(server.stay())
        killed: set[int] = set()
        async with asyncio.timeout(180):
            while not staying.done():
                if (pid := server.pid) is not None and pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                await asyncio.sleep(0.01)
        with pytest.raises(valkey.ValkeyDied):
            await staying
    assert len(killed) == valkey.MAX_DEATHS


async def test_a_long_and_foreign_path_still_gets_a_socket(tmp_path: Path) -> None:
    place = tmp_path / ("很长的目录" * 8)
    async with data_folder.hold(place) as lock, _running(place, lock) as server:
        async with redis.connect(server.url) as client:
            assert await client.call("PING")
        assert len(os.fsencode(server.url.removeprefix("unix://"))) < 104
        assert valkey.find_running(place) == server.url


def test_a_killed_parent_leaves_no_server_and_a_free_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603  our own code
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        child.kill()
        child.wait()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as heir:  # noqa: S603  our own code
        assert heir.stdout is not None
        second = int(heir.stdout.readline())
        assert not _lives(pid)
        heir.terminate()
    _wait(lambda: not _lives(second))


def test_the_guard_ends_a_process_whose_parent_was_killed() -> None:
    script = (
        "import subprocess, sys, time; from imsg import valkey;"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True); valkey.guard(child.pid);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:  # noqa: S603  our own code
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _lives(pid)
        parent.kill()
    _wait(lambda: not _lives(pid))
