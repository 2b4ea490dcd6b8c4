"""PostgreSQL is lost and restored from a dump made under load: messages are reconciled, and none is repeated."""

import secrets
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from imsg_testing.api import AWAY
from imsg_testing.postgres_roles import DividedPostgres, run_divided
from imsg_testing.services import Plan, Services, deploy
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long

SWEEP = {"IMSG_SWEEP__EVERY_S": "1", "IMSG_SWEEP__LOST_AFTER_S": "3"}
"""As in production, where it is a minute and a quarter of an hour."""


@pytest.fixture
def store() -> Iterator[DividedPostgres]:
    """Run PostgreSQL with a role for each service, as the containers have it."""
    with run_divided() as server:
        yield server


@pytest.fixture
def services(store: DividedPostgres, tmp_path: Path) -> Iterator[Services]:
    """Run the services on it."""
    with deploy(tmp_path, Plan(senders=1, common=SWEEP, database=store.url_of_service, has_sandbox=True)) as opened:
        yield opened


def dump(store: DividedPostgres, file: Path) -> None:
    """Make a dump as docs/operations.md says."""
    _run(store.program("pg_dump"), "--format=custom", f"--file={file}", f"--dbname={store.admin_dsn}")


def restore(store: DividedPostgres, file: Path) -> None:
    """Restore a dump as docs/operations.md says, into what roles.sh has made."""
    _run(
        store.program("pg_restore"),
        "--clean",
        "--if-exists",
        "--single-transaction",
        f"--dbname={store.admin_dsn}",
        str(file),
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(300)
def test_a_restore_is_reconciled_and_claimed_messages_are_not_sent_twice(
    services: Services, store: DividedPostgres, tmp_path: Path
) -> None:
    """Settled in the dump: as it was. Sent after it: published again, and answered by the claims. Later: sent."""
    api = services
    name = f"用户{secrets.token_hex(4)}"
    api.call("POST", "/api/register", {"token": api.token(), "username": name, "password": "correct horse"})
    settled = [str(api.send(f"settled{n}@example.com")["id"]) for n in range(3)]
    for request in settled:
        api.wait_settled(request)
    _pause(api, paused=True)
    waiting = [str(api.send(f"waiting{n}@example.com")["id"]) for n in range(4)]
    wait(lambda: all(api.messages(request) for request in waiting))

    dump(store, tmp_path / "imsg.dump")
    later = str(api.send("later@example.com")["id"])
    _pause(api, paused=False)
    for request in (*waiting, later):
        api.wait_settled(request)

    for service in (api.auth, api.history):
        service.process.kill()
    store.replace()
    asked = httpx.get(f"{api.urls[0]}/api/query", params={"token": api.token()}, timeout=60)
    assert asked.json()["errorCode"] == AWAY
    restore(store, tmp_path / "imsg.dump")
    for service in (api.auth, api.history):
        service.start()
    assert [user["username"] for user in _users(api)].count(name) == 1
    for request in (*settled, *waiting):
        (message,) = api.wait_settled(request, within_s=120)
        assert message["status"] == "sent"
    assert api.messages(later) == [], "the dump knows nothing of it"
    new = str(api.send("new@example.com")["id"])
    assert [message["status"] for message in api.wait_settled(new)] == ["sent"]
    mails = Counter(mail["to"] for mail in api.received())
    assert set(mails.values()) == {1}
    assert mails.total() == len((*settled, *waiting, later, new))


def _pause(api: Services, *, paused: bool) -> None:
    answer = api.call("PATCH", "/api/v2/channels/smtp", {"token": api.token(), "paused": paused})
    assert answer["errorCode"] == 0, answer


def _users(api: Services) -> list[dict[str, str]]:
    results: list[dict[str, str]] = []

    def answers() -> bool:
        answer = api.call("GET", "/api/v2/users", token=api.token())
        results[:] = answer.get("users", ())
        return bool(answer["errorCode"] == 0)

    wait(answers)
    return results
