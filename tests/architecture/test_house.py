"""Rules of the code that no linter has."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg_channels import METHODS
from imsg_contract.topology import Lane, Topology
from imsg_contract.version import VERSION

ROOT = Path(__file__).parents[2]

OURS = ("*.py", "*.md", "*.toml", "*.yml", "*.yaml", "Makefile", "Dockerfile", "Caddyfile", "*.sh")
"""What people write; folders that begin with a dot and `data` hold what is made."""


def members() -> list[Path]:
    """List the folders of the workspace's members."""
    globs = toml(ROOT / "pyproject.toml")["tool"]["uv"]["workspace"]["members"]
    return sorted(path.parent for glob in globs for path in ROOT.glob(f"{glob}/pyproject.toml"))


def toml(path: Path) -> dict[str, Any]:
    """Read a TOML file."""
    return tomllib.loads(path.read_text())


def list_written() -> Iterator[Path]:
    """Yield every file that people write."""
    folders = [
        folder for folder in ROOT.iterdir() if folder.is_dir() and folder.name[0] != "." and folder.name != "data"
    ]
    for pattern in OURS:
        yield from ROOT.glob(pattern)
        for folder in folders:
            yield from folder.rglob(pattern)


def test_no_tests_folder_but_two_is_a_package() -> None:
    """Two packages of one name would make pytest's importlib mode run the wrong tests in silence."""
    matches = [path for folder in (*members(), ROOT / "tests") for path in folder.glob("**/__init__.py")]
    packages = {path.parent for path in matches if "src" not in path.relative_to(ROOT).parts}

    assert packages == {ROOT / "tests/browser", ROOT / "tests/e2e"}


def test_only_what_is_released_by_itself_has_the_version() -> None:
    """The wheel and the clients' library have it; both follow from `imsg_contract.version`."""
    versions = {folder.name: toml(folder / "pyproject.toml")["project"]["version"] for folder in (ROOT, *members())}

    assert versions.pop("python") == VERSION
    assert set(versions.values()) == {"0"}, versions


def test_the_changelog_knows_the_version() -> None:
    """A version is released by its heading; until the first is, there is Unreleased alone."""
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [VERSION])


def test_every_room_stands_in_the_table_of_rooms() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text()

    assert [folder.name for folder in members() if f"`{folder.relative_to(ROOT)}/`" not in table] == []


def test_every_room_stands_in_the_contracts() -> None:
    modules = {toml(folder / "pyproject.toml")["tool"]["uv"]["build-backend"]["module-name"] for folder in members()}

    assert set(toml(ROOT / "pyproject.toml")["tool"]["importlinter"]["root_packages"]) == modules


def test_every_work_queue_has_a_consumer() -> None:
    """A channel of the topology is a package `imsg_METHOD` with a main; without a consumer jobs would wait forever."""
    queues = {f"imsg.{method}.{lane.value}" for method in METHODS for lane in Lane}
    mains = {path.parent.name for path in ROOT.glob("*/src/*/main.py")}

    assert {queue for queue, _ in Topology(methods=METHODS).work_queues()} == queues
    assert [method for method in METHODS if f"imsg_{method}" not in mains] == []


@pytest.mark.parametrize("folder", ["e2e", "fault", "compose", "architecture"])
def test_a_suite_knows_of_a_service_its_main(folder: str) -> None:
    """Contracts alone may look inside the services that they bind: a store and its databases, senders and the page."""
    wrong = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in (ROOT / "tests" / folder).rglob("*.py")
        for module in list_imports(path)
        if (parts := module.split("."))[0] in services() and parts[1:] != ["main"]
    ]

    assert wrong == []


def services() -> set[str]:
    """Return the names of the services' packages."""
    mains = {path.parent.name for path in ROOT.glob("*/src/*/main.py")}
    return mains - {"imsg"}


def list_imports(path: Path) -> Iterator[str]:
    """Yield the names of the modules that a file imports; `from a import b` counts as a.b where b is one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            package = "." not in node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if package else [node.module]


def test_nothing_speaks_smtp_through_the_standard_library() -> None:
    """That is for aiosmtplib, in tests too: one library to know, and no thread that a loop has to wait for.

    Not meant is the peer that iMSG is measured beside (`bench/peer`): it is what others would write.
    """
    matches = [
        str(path.relative_to(ROOT))
        for path in list_written()
        if path.suffix == ".py"
        and not path.is_relative_to(ROOT / "bench" / "peer")
        and "smtplib" in path.read_text()
        and "smtplib" in roots(path)
    ]

    assert matches == []


def roots(path: Path) -> set[str]:
    """Return the names of the top-level packages that a file imports."""
    return {module.partition(".")[0] for module in list_imports(path)}


def test_nothing_written_names_a_place_of_one_machine() -> None:
    place = re.compile(r"/(?:home|Users|root)/\w")
    matches = [str(path.relative_to(ROOT)) for path in list_written() if place.search(path.read_text(errors="replace"))]

    assert matches == []


def test_uv_is_pinned_once_and_builds_our_packages() -> None:
    """The build backend inside uv serves only versions that the members allow; others would be downloaded."""
    pins = {
        match[1]
        for name in ("scripts/install-uv", "deploy/Dockerfile")
        for match in re.finditer(r"uv==([\d.]+)", (ROOT / name).read_text())
    }
    wanted = {toml(folder / "pyproject.toml")["build-system"]["requires"][0] for folder in members()}

    assert len(pins) == 1
    assert wanted == {"uv_build>=0.9,<0.14"}
    assert (0, 9) <= tuple(map(int, pins.pop().split(".")[:2])) < (0, 14)


def test_secrets_are_compared_in_one_way() -> None:
    """`compare_digest` raises at text that is not ASCII: what a stranger gives would be a bug of ours."""
    allowed = {"shared/contract/src/imsg_contract/constant_time.py", "clients/python/src/imsg_client/callbacks.py"}
    sources = [path for folder in members() for path in (folder / "src").rglob("*.py")]
    users = {str(path.relative_to(ROOT)) for path in sources if "compare_digest(" in path.read_text()}

    assert users == allowed
