"""The init step of the containers: which of them is handed what."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from imsg import rights, secrets
from imsg_channels import CHANNELS

ROOT = Path(__file__).parents[2]

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

CONTAINERS = [
    target.removeprefix("/run/imsg/")
    for _, target in (volume.split(":")[:2] for volume in COMPOSE["services"]["init"]["volumes"])
    if target.startswith("/run/imsg/") and target != "/run/imsg/all"
]

OPERATORS = {"rabbitmq", "redis", "postgres", "upgrade", "cli", "sandbox"}
"""Who is no service: stores, and what is run for operators or plays the providers."""

Handed = Mapping[str, Mapping[str, str]]
"""Container → file → what it holds."""


def make_run_imsg(folder: Path) -> Path:
    """Make what is /run/imsg in the containers, with a folder for each of them."""
    for name in ("all", *CONTAINERS):
        (folder / "run" / name).mkdir(parents=True)
    return folder / "run"


@pytest.fixture(scope="module")
def run_imsg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a first start."""
    return make_run_imsg(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def handed(run_imsg: Path) -> Handed:
    """Run the step for a first start; no test changes what it wrote."""
    return hand_out(run_imsg)


def hand_out(folder: Path) -> Handed:
    """Run the step, and return what each container was handed."""
    script = (ROOT / "deploy/hand-out-secrets").read_text().replace("/run/imsg", str(folder))
    memory = folder.parent / "memory"
    memory.mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": path, "TMPDIR": str(memory)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(memory)  # it ends with the step's container
    return {name: {file.name: file.read_text() for file in (folder / name).iterdir()} for name in CONTAINERS}


def test_five_secrets_are_kept_and_no_container_is_handed_the_root(run_imsg: Path, handed: Handed) -> None:
    assert {file.name for file in (run_imsg / "all").iterdir()} == set(secrets.KEPT)
    root = (run_imsg / "all" / secrets.ROOT).read_text()
    assert [name for name, files in handed.items() if any(root in value for value in files.values())] == []
    empty = [(name, file) for name, files in handed.items() for file, value in files.items() if not value.strip()]
    assert empty == [], "nothing is handed by these names"


def test_what_two_services_both_know_is_what_they_share(handed: Handed) -> None:
    services = [name for name in CONTAINERS if name not in OPERATORS]
    assert sorted(services) == sorted(rights.SERVICES)
    for service in services:
        own = {
            handed[service][name]
            for name in ("rabbit_password", "redis_password", "db_password")
            if name in handed[service]
        }
        others = {value for name in services if name != service for value in handed[name].values()}
        assert own & others == set(), f"{service}'s passwords are known to another service"
        assert len(own) >= 2, f"{service} has one password for two stores"
    for channel in CHANNELS:
        key = handed[channel.service]["provider_key"]
        knowing = {name for name in services if key in handed[name].values()}
        assert knowing == {"auth", channel.service}


def test_a_store_knows_no_services_password_in_clear_but_postgresql_its_own(handed: Handed) -> None:
    services = {(name, file): value for name in rights.SERVICES for file, value in handed[name].items()}
    for store, allowed in (("rabbitmq", set[str]()), ("redis", set[str]()), ("postgres", {"db_password"})):
        seen = "\n".join(handed[store].values())
        assert {file for (_, file), value in services.items() if file != "service" and value in seen} == allowed


def test_a_volume_of_an_older_version_keeps_its_passwords(tmp_path: Path) -> None:
    run_imsg = make_run_imsg(tmp_path)
    older = {"gateway_rabbit_password": "old-rabbit", "gateway_key": "old-key,new-key", "history_db_password": "old-db"}
    for name, value in older.items():
        (run_imsg / "all" / name).write_text(value)

    handed = hand_out(run_imsg)

    assert handed["gateway"]["rabbit_password"] == "old-rabbit"
    assert handed["gateway"]["service_key"] == handed["auth"]["gateway_key"] == "old-key,new-key"
    assert handed["history"]["db_password"] == handed["postgres"]["history_db_password"] == "old-db"
    assert hand_out(run_imsg)["gateway"] == handed["gateway"], "it changed at the second time"
