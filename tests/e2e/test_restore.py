"""PostgreSQL is lost and restored from a dump made under load: what reconciliation finds, and what is not repeated."""

import secrets
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imsg_testing.api import wait
from imsg_testing.deployment import provider
from imsg_testing.owners import Owned
from imsg_testing.servers import Rabbit, Valkey
from imsg_testing.services import KEYS, OneService, Services

pytestmark = pytest.mark.long

SWEEP = {"IMSG_SWEEP__EVERY_S": "1", "IMSG_SWEEP__LOST_AFTER_S": "3"}
"""As in production, where it is a minute and a quarter of an hour."""


class Installation(Services):
    """All that mail needs, on a divided PostgreSQL that can be lost."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        rabbit, valkey = stack.enter_context(Rabbit()), stack.enter_context(Valkey())
        self.store = stack.enter_context(Owned())
        self.store.divide()
        sandbox = stack.enter_context(provider(folder))
        self._folder, self._stack = folder, stack
        self._common = {**KEYS, "IMSG_BROKER_URL": rabbit.url, "IMSG_REDIS_URL": valkey.url, **SWEEP}
        auth, history = self._owner("auth"), self._owner("history")
        peers = {"IMSG_AUTH_URL": auth.url, "IMSG_HISTORY_URL": history.url}
        sender = self._start("imsg_smtp", {**peers, **sandbox.settings})
        super().__init__([self._start("imsg_gateway", peers)], auth, history, [sender], sandbox)
        stack.callback(self.close)

    def lose_the_store(self) -> None:
        """Lose PostgreSQL with all it has, and make another one in its place, empty."""
        for one in (self.auth, self.history):
            one.process.kill()
        self.store.lose()

    def start_again(self) -> None:
        """Start what was on the store."""
        for one in (self.auth, self.history):
            one.start()

    def _owner(self, name: str) -> OneService:
        return self._start(f"imsg_{name}", {"IMSG_DATABASE_URL": self.store.url_of_owner(name)})

    def _start(self, package: str, settings: dict[str, str]) -> OneService:
        one = OneService(package, self._folder, {**self._common, "IMSG_DATA_DIR": str(self._folder), **settings})
        self._stack.callback(one.process.close)
        one.start()
        return one


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Run one."""
    with ExitStack() as stack:
        yield Installation(tmp_path, stack)


def dump(store: Owned, file: Path) -> None:
    """Make a dump as docs/operations.md says."""
    _run(store.program("pg_dump"), "--format=custom", f"--file={file}", f"--dbname={store.upkeep}")


def restore(store: Owned, file: Path) -> None:
    """Restore a dump as docs/operations.md says, into what roles.sh has made."""
    _run(
        store.program("pg_restore"),
        "--clean",
        "--if-exists",
        "--single-transaction",
        f"--dbname={store.upkeep}",
        str(file),
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(300)
def test_a_restore_is_reconciled_and_nobody_gets_twice_what_the_claims_know(
    installation: Installation, tmp_path: Path
) -> None:
    """Settled in the dump: as it was. Sent after it: published again, and answered by the ledger. Later: sent."""
    api, sandbox = installation, installation.sandbox
    api.open_wide()
    name = f"用户{secrets.token_hex(4)}"
    api.call("POST", "/api/register", {"token": api.token(), "username": name, "password": "correct horse"})
    settled = [str(api.send(f"settled{n}@example.com")["id"]) for n in range(3)]
    for request in settled:
        api.wait_settled(request)
    _pause(api, paused=True)
    waiting = [str(api.send(f"waiting{n}@example.com")["id"]) for n in range(4)]
    wait(lambda: all(api.messages(request) for request in waiting))

    dump(api.store, tmp_path / "imsg.dump")
    later = str(api.send("later@example.com")["id"])
    _pause(api, paused=False)
    for request in (*waiting, later):
        api.wait_settled(request)

    api.lose_the_store()
    assert api.call("GET", "/api/query", None, token=api.token())["errorCode"] == 10012
    restore(api.store, tmp_path / "imsg.dump")
    api.start_again()
    assert [user["username"] for user in _users(api)].count(name) == 1
    for request in (*settled, *waiting):
        (message,) = api.wait_settled(request, within_s=120)
        assert message["status"] == "sent"
    assert api.messages(later) == [], "the dump knows nothing of it"
    new = str(api.send("new@example.com")["id"])
    assert [message["status"] for message in api.wait_settled(new)] == ["sent"]
    mails = Counter(mail["to"] for mail in sandbox.inbox())
    assert set(mails.values()) == {1}
    assert mails.total() == len((*settled, *waiting, later, new))


def _pause(api: Installation, *, paused: bool) -> None:
    answer = api.call("PATCH", "/api/v2/channels/smtp", {"token": api.token(), "paused": paused})
    assert answer["errorCode"] == 0, answer


def _users(api: Installation) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []

    def answers() -> bool:
        answer = api.call("GET", "/api/v2/users", token=api.token())
        found[:] = answer.get("users", ())
        return bool(answer["errorCode"] == 0)

    wait(answers)
    return found
