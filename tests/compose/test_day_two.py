"""The recipes of docs/operations.md under load: a restored backup, a changed key."""

from pathlib import Path

import pytest

from imsg_testing.compose import UP_TIMEOUT_S, Containers
from imsg_testing.compose_load import Load

pytestmark = pytest.mark.timeout(1_800)


PAGE = 500


def read_statuses(containers: Containers, load: Load) -> dict[str, str]:
    """Return the statuses of the user's messages: id → status."""
    answer = containers.call("GET", "/api/query", token=load.token, limit=str(PAGE))
    assert answer["errorCode"] == 0, answer
    return {message["id"]: message["status"] for message in answer["messages"]}


def test_a_backup_made_under_load_is_brought_back_on_a_new_machine(
    containers: Containers, elsewhere: Containers, tmp_path: Path
) -> None:
    load, later, backup = Load(containers), Load(containers), tmp_path / "backup"
    with load.running(threads=2, until=60):
        pass
    expected = sum(load.accepted.values())
    assert expected <= PAGE, "what one look shows"
    containers.wait(lambda: len(read_statuses(containers, load)) == expected, within_s=120)  # history hears of it last
    containers.wait(lambda: not load.waiting(containers.client), within_s=120)
    before = read_statuses(containers, load)
    with later.running(threads=2, pause_s=0.05):
        containers.wait(lambda: later.answered.total() > 10)
        containers.run("scripts/backup", str(backup))
    assert load.failures == later.failures == []
    assert {file.stat().st_mode & 0o077 for file in (backup, *backup.iterdir())} == {0}, "it holds every secret"
    answer = containers.call("GET", "/api/v2/status", token=containers.token)
    found = {finding["part"]: finding for finding in answer["findings"]}
    assert "最新的备份：" in found["backup"]["state"]
    assert found["backup"]["level"] == "well"
    databases = {finding["name"] for finding in answer["findings"] if finding["part"] == "database"}
    assert databases >= {"auth", "callbacks", "catalog", "history", "scheduler"}
    assert found["disk"]["state"].startswith("/ 可用")

    elsewhere.run("scripts/restore", str(backup), timeout_s=UP_TIMEOUT_S)

    after = read_statuses(elsewhere, load)  # by a token of before
    assert after.keys() == before.keys()
    changes = {(before[name], after[name]) for name in after} - {(status, status) for status in before.values()}
    assert changes <= {("sent", "delivered")}, "nothing but receipts came between the look and the backup"
    assert elsewhere.secret("auth", "admin_password") == containers.secret("auth", "admin_password")
    again = Load(elsewhere)
    with again.running(threads=2, until=30):
        pass
    assert again.failures == []
    elsewhere.wait(lambda: not again.waiting(elsewhere.client), within_s=120)


def test_nothing_is_restored_over_an_installation_that_lives(containers: Containers, tmp_path: Path) -> None:
    (tmp_path / "imsg.dump").touch()
    (tmp_path / "secrets.tar").touch()
    with pytest.raises(AssertionError, match="there are secrets already"):
        containers.run("scripts/restore", str(tmp_path))


def test_the_key_of_tokens_is_changed_under_load_and_the_old_one_ends_with_the_last_step(
    containers: Containers,
) -> None:
    load = Load(containers)
    with load.running(threads=2, pause_s=0.05):
        containers.wait(lambda: load.answered.total() > 10)
        containers.run("scripts/rotate", "token_key", timeout_s=1_200)
    assert load.failures == []
    me = {"Authorization": f"Bearer {load.token}"}
    assert containers.client.get("/api/v2/me", headers=me).json()["errorCode"] == 0

    containers.run("scripts/rotate", "token_key", "finish", timeout_s=1_200)
    containers.forget_token()

    assert containers.client.get("/api/v2/me", headers=me).json()["errorCode"] != 0
    load.token = containers.log_in(load.username, load.password)
    assert set(read_statuses(containers, load)) != set()


def test_another_root_key_changes_every_derived_secret_and_loses_nothing(containers: Containers) -> None:
    derived = [("gateway", name) for name in ("service_key", "rabbit_password", "redis_password")]
    derived += [("history", "db_password"), ("rabbitmq", "rabbit_password"), ("redis", "redis_password")]
    lasting = [("auth", name) for name in ("token_key", "secret_key", "admin_password")]
    before = {where: containers.secret(*where) for where in (*derived, *lasting)}
    load = Load(containers)
    with load.running(threads=2, until=30):
        pass
    assert load.failures == []

    containers.run("scripts/rotate", "root_key", timeout_s=UP_TIMEOUT_S)

    after = {where: containers.secret(*where) for where in before}
    assert {where for where in before if before[where] == after[where]} == set(lasting)
    refused = ("redis-cli", "--user", "imsg-gateway", "--pass", before["gateway", "redis_password"], "ping")
    assert "WRONGPASS" in containers.compose("exec", "-T", "redis", "sh", "-c", f"{' '.join(refused)} 2>&1 || true")
    expected = sum(load.accepted.values())
    containers.wait(lambda: len(read_statuses(containers, load)) == expected, within_s=120)  # by a token of before
    containers.wait(lambda: not load.waiting(containers.client), within_s=120)
    with load.running(threads=2, until=60):
        pass
    assert load.failures == []
    containers.wait(lambda: not load.waiting(containers.client), within_s=120)
