"""`imsg install-service` writes a unit that systemd accepts and that confines iMSG."""

import subprocess
from pathlib import Path

import pytest

from imsg.systemd import is_readable_by_all
from imsg_testing.command_line import IMSG, run_imsg
from imsg_testing.service import environment

EXPOSURE = 2.0
"""The most that systemd's own measure may say (0: confined, 10: not at all). A web service without a sandbox has 9."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Install the service below a folder."""
    done = run_imsg("install-service", "--root", str(tmp_path), env=environment({}), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "systemctl enable --now imsg.service" in done.stdout
    return tmp_path


def test_the_unit_runs_the_command_with_the_settings_as_its_own_user(root: Path) -> None:
    unit = (root / "etc/systemd/system/imsg.service").read_text()

    assert f"ExecStart={IMSG} up" in unit
    assert "User=imsg" in unit
    assert (root / "etc/sysusers.d/imsg.conf").read_text().startswith("u imsg ")
    config = root / "etc/imsg/imsg.toml"
    assert config.stat().st_mode & 0o777 == 0o640
    assert 'data_dir = "/var/lib/imsg/data"' in config.read_text()


def test_installing_again_keeps_the_settings(root: Path) -> None:
    config = root / "etc/imsg/imsg.toml"
    config.write_text("port = 9000\n")

    assert run_imsg("install-service", "--root", str(root), env=environment({}), cwd=root).returncode == 0

    assert config.read_text() == "port = 9000\n"


@pytest.mark.long
def test_systemd_accepts_the_unit_and_calls_it_confined(root: Path) -> None:
    unit = root / "etc/systemd/system/imsg.service"
    for words in (["verify", unit], ["security", "--offline=yes", f"--threshold={EXPOSURE * 10:.0f}", unit]):
        done = subprocess.run(
            ["systemd-analyze", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "imsg.service" not in done.stderr, done.stderr


def test_what_the_services_user_could_not_read_is_found(tmp_path: Path) -> None:
    private = tmp_path / "program"
    private.touch(0o644)
    tmp_path.chmod(0o700)

    assert not is_readable_by_all(private)
    assert not is_readable_by_all(Path("/home"))
    assert is_readable_by_all(Path("/usr/bin/env"))
