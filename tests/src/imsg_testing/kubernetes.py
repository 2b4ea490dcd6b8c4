"""The manifests that kustomize builds from a folder, and the environment of a service in its container."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from imsg_runtime import secret_files

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manifests:
    """The documents of one build."""

    documents: tuple[Document, ...]

    def of(self, kind: str) -> dict[str, Document]:
        """Return the documents of a kind, by name."""
        return {document["metadata"]["name"]: document for document in self.documents if document["kind"] == kind}

    def settings(self, service: str) -> dict[str, str]:
        """Return the variables that a service finds, its secrets not yet in them."""
        maps = self.of("ConfigMap")
        (container,) = pod(self.of("Deployment")[service])["containers"]
        assert "env" not in container, "settings come from the maps, so that each can be changed by an overlay"
        return {name: value for source in container["envFrom"] for name, value in _data(maps, source).items()}

    def secrets(self, container: str) -> set[str]:
        """Return the names of a container's secrets; services that share it have folders of their own."""
        names = {path.rpartition("/")[2] for path in self.keys(container)}
        return names | ({"service"} if self._sources(container) else set())

    def find_container(self, service: str) -> str:
        """Return the Deployment in which a service runs."""
        return service if service in self.of("Deployment") else "catalog"

    def own_keys(self, service: str) -> dict[str, str]:
        """Return the keys as `keys`, of a service alone where it shares its container."""
        keys = self.keys(self.find_container(service))
        own = {path.removeprefix(f"{service}/"): key for path, key in keys.items() if path.startswith(f"{service}/")}
        return own or keys

    def read_environment(self, service: str) -> dict[str, str]:
        """Return a service's settings with secrets in them, as the entry point leaves them."""
        container = self.find_container(service)
        keys = self.keys(container)
        with TemporaryDirectory() as folder:
            for number, (name, key) in enumerate(sorted(keys.items())):
                file = Path(folder, name)
                file.parent.mkdir(exist_ok=True)
                file.write_text("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG" if "aes" in key else f"{number:032x}")
            if any("/" in name for name in keys):
                return secret_files.fill_own(self.settings(container), service, Path(folder))
            Path(folder, "service").write_text(service)
            return {name: secret_files.fill(value, Path(folder)) for name, value in self.settings(service).items()}

    def keys(self, service: str) -> dict[str, str]:
        """Return which keys of the Secret a service finds, and as what: the file's name → the key."""
        secrets = [source["secret"] for source in self._sources(service) if "secret" in source]
        return {item["path"]: item["key"] for secret in secrets for item in secret["items"]}

    def _sources(self, service: str) -> list[Document]:
        volumes = pod(self.of("Deployment")[service]).get("volumes", [])
        return [part for volume in volumes if volume["name"] == "secrets" for part in volume["projected"]["sources"]]


@cache
def build_folder(name: str) -> Manifests:
    """Build one of the folders of deploy/kubernetes, a component with the base. Raises AssertionError."""
    if "kind: Component" not in (FOLDER / name / "kustomization.yaml").read_text():
        return build_at(FOLDER / name)
    return build_overlay(f"resources: [../base]\ncomponents: [../{name}]\n")


def build_overlay(text: str) -> Manifests:
    """Build an overlay beside the folders of deploy/kubernetes. Raises AssertionError."""
    with TemporaryDirectory() as folder:
        shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
        mine = Path(folder, "mine")
        mine.mkdir()
        (mine / "kustomization.yaml").write_text(text)
        return build_at(mine)


def build_at(folder: Path) -> Manifests:
    """Build a folder. Raises AssertionError with what kustomize says."""
    program = shutil.which("kustomize")
    assert program is not None, "kustomize is not installed: apt-get install kustomize"
    done = subprocess.run([program, "build", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return Manifests(tuple(yaml.safe_load_all(done.stdout)))


def pod(deployment: Document) -> Document:
    """Return the specification of a Deployment's pods."""
    found: Document = deployment["spec"]["template"]["spec"]
    return found


def placeholders(settings: dict[str, str]) -> set[str]:
    """Return the names of the secrets that settings refer to."""
    return {name for value in settings.values() for name in re.findall(r"\{(\w+)\}", value)}


def _data(maps: dict[str, Document], source: Document) -> dict[str, str]:
    found: dict[str, str] = maps[source["configMapRef"]["name"]]["data"]
    return found
