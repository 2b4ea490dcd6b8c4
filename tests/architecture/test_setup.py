"""What sets iMSG up says what it waits for."""

import subprocess

import pytest

from imsg_testing.deployed import ROOT

ANNOUNCE = str(ROOT / "scripts/announce-slow")


def test_a_slow_download_is_announced_while_it_lasts() -> None:
    with subprocess.Popen(
        [ANNOUNCE, "0", "fetching packages", "sh", "-c", "read -r answer; exit 7"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "imsg: fetching packages\n"  # it still waits for its input
        process.communicate("go\n", timeout=60)
    assert process.returncode == 7


def test_a_quick_download_is_silent() -> None:
    done = subprocess.run(
        [ANNOUNCE, "3600", "fetching packages", "true"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "您好"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "您好"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "hello"),
        ({}, "hello"),
    ],
)
def test_what_is_set_up_is_printed_in_the_language_of_the_shell(variables: dict[str, str], words: str) -> None:
    done = subprocess.run(
        [str(ROOT / "scripts/in-language"), "hello", "您好"],
        env=variables, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == f"{words}\n"
