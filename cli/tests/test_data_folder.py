"""The data folder: one process at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imsg import data_folder
from imsg_runtime.settings import StartError

HOLD = """
import asyncio, sys
from pathlib import Path
from imsg import data_folder
async def main():
    async with data_folder.hold(Path(sys.argv[1])):
        print("held", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def _start_holder(place: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, str(place)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  our own code
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


async def test_a_second_process_is_refused_with_the_holders_id(tmp_path: Path) -> None:
    child = _start_holder(tmp_path)
    try:
        with pytest.raises(StartError, match=rf"process {child.pid}.*IMSG_DATA_DIR"):
            async with data_folder.hold(tmp_path):
                pass
    finally:
        child.kill()
        child.communicate()


async def test_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    child = _start_holder(tmp_path)
    child.kill()
    child.communicate()

    async with data_folder.hold(tmp_path):
        assert (tmp_path / data_folder.LOCK).read_text() == str(os.getpid())


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StartError, match=r"file/data can't be written.*IMSG_DATA_DIR"):
        async with data_folder.hold(tmp_path / "file" / "data"):
            pass
