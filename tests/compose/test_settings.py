"""A line of `.env` restarts what reads it, and nothing else."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.compose import ROOT, Containers

pytestmark = pytest.mark.timeout(1_200)

OF_THE_STORES = "IMSG_STORE_CPUS"
"""How many processors a store may use: the stores read it, and what waits for a store goes with it."""


class Project:
    """A folder with docker-compose.yml and a `.env`; nothing of it is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copy(ROOT / "docker-compose.yml", folder)

    def hash_services(self, *lines: str) -> dict[str, str]:
        """Return service → the hash by which compose knows whether its container is as it should be."""
        (self._folder / ".env").write_text("".join(f"{line}\n" for line in lines))
        return dict(line.split() for line in self._compose("config", "--hash", "*").splitlines())

    def describe(self) -> dict[str, Any]:
        """Return service → its description, with the names of settings in place of their values."""
        services: dict[str, Any] = json.loads(self._compose("config", "--no-interpolate", "--format", "json"))
        return dict(services["services"])

    def _compose(self, *words: str) -> str:
        command = ["docker", "compose", "--project-directory", str(self._folder), *words]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"}  # noqa: S108
        done = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def test_each_line_recreates_the_containers_that_read_it_and_takes_no_other_along(tmp_path: Path) -> None:
    project = Project(tmp_path)
    described = project.describe()
    readers = {
        name: {service for service, settings in described.items() if re.search(rf"\b{name}\b", json.dumps(settings))}
        for name in set(re.findall(r"\bIMSG_\w+", json.dumps(described)))
    }
    before = project.hash_services()
    assert readers["IMSG_SMS__OPT_OUT"] == {"sender-sms"}

    for name in ("ANYTHING_ELSE", "IMSG_SMS__OPT_OUTT", *sorted(readers)):
        after = project.hash_services(f"{name}=7")
        changed = {service for service in before if before[service] != after[service]}
        assert changed <= readers.get(name, set()), name
        waiting = {service for service, settings in described.items() if changed & set(settings.get("depends_on", ()))}
        assert name == OF_THE_STORES or waiting <= changed, f"{name} takes {waiting - changed} along"


def test_one_changed_setting_of_a_sender_and_one_of_history_restart_these_two_alone(containers: Containers) -> None:
    def started() -> dict[str, str]:
        names = containers.compose("ps", "--quiet").split()
        output = json.loads(containers.run("docker", "inspect", *names))
        return {
            image["Config"]["Labels"]["com.docker.compose.service"]: image["State"]["StartedAt"] for image in output
        }

    before = started()
    with containers.setting(IMSG_SMS__OPT_OUT='["TD","退订"]', IMSG_RETENTION_DAYS="89"):
        after = started()
        assert containers.inspect("sender-sms")["Config"]["Env"].count('IMSG_SMS__OPT_OUT=["TD","退订"]') == 1

    assert {service for service in before if before[service] != after[service]} == {"sender-sms", "history"}
