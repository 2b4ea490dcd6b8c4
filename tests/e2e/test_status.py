"""`imsg status` on an iMSG that runs: the worst first, and the next step of each fault."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from imsg_testing.deployment import Deployment, running
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(400)  # the waits of a test, one after the other

CHINESE = re.compile(r"[一-鿿]")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with running(tmp_path_factory.mktemp("status")) as opened:
        yield opened


def examine(deployment: Deployment, **settings: str) -> tuple[int, list[str]]:
    """Run `imsg status`; return its exit code and its rows."""
    done = deployment.run("status", **{"COLUMNS": "2000", **settings})
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()[1:]


def test_it_shows_stores_channels_and_what_waits(deployment: Deployment) -> None:
    known = {"IMSG_USERNAME": "admin", "IMSG_PASSWORD": "123"}
    code, rows = 0, [""]

    def is_shown(signs: str, *parts: str) -> bool:
        """Examine it; return whether its rows begin with these signs, but for the disk's, which is this machine's."""
        nonlocal code, rows
        code, rows = examine(deployment, **known)
        found = Counter(row[0] for row in rows if " disk " not in row and not row.startswith("✓ "))
        return found == Counter(signs) and all(any(part in row for row in rows) for part in parts)

    wait(lambda: is_shown(""), 60, 1, why=lambda: "\n".join(rows))
    assert code == any(row.startswith("✗ ") for row in rows)
    for part in ("iMSG", "Redis", "broker", "database", "disk", "backup", "E-mail", "SMS", "oldest", "dead letters"):
        assert any(part in row for row in rows), part

    # What is paused comes first, with its remedy.
    pause = {"token": deployment.token(), "paused": True, "reason": "the server moves"}
    assert deployment.call("PATCH", "/api/v2/channels/smtp", pause)["state"] == "paused"
    deployment.send("waits@example.com")
    wait(lambda: is_shown("✗", "from the hour"), 60, 1, why=lambda: "\n".join(rows))

    assert code == 1
    faults = [row for row in rows if row.startswith("✗ ")]
    assert rows[: len(faults)] == faults
    assert any("E-mail" in row and "the server moves" in row and "imsg channels resume smtp" in row for row in faults)


def test_without_a_log_in_it_shows_how_to_log_in_and_the_rest(deployment: Deployment, tmp_path: Path) -> None:
    code, rows = examine(deployment, XDG_CONFIG_HOME=str(tmp_path))

    assert code == 1
    assert re.match(r"✗ +log-in +nobody is logged in ", rows[0]), "not what the API says to a program"
    assert "imsg login" in rows[0]
    assert any("Redis" in row for row in rows)


def test_an_imsg_that_does_not_run_is_the_first_row(deployment: Deployment, reserved_port: int) -> None:
    code, rows = examine(deployment, IMSG_GATEWAY_URL=f"http://127.0.0.1:{reserved_port}")

    assert code == 1
    assert "nothing answers" in rows[0]
    assert "imsg up" in rows[0]


def test_the_machine_is_examined_while_nothing_runs_and_in_chinese(
    deployment: Deployment, reserved_port: int, tmp_path: Path
) -> None:
    away = {"IMSG_GATEWAY_URL": f"http://127.0.0.1:{reserved_port}", "IMSG_BACKUP__FOLDER": str(tmp_path)}
    _, rows = examine(deployment, LANG="zh_CN.UTF-8", **away)

    assert [row for row in rows if not CHINESE.search(row)] == []
    assert "无应答" in rows[0]
    (backup,) = (row for row in rows if "备份" in row)
    assert backup.startswith("✗ ")
    assert "已逾期" in backup
    assert "backup_failed" in backup
