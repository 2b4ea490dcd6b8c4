"""A data folder is copied under load and restored."""

import os
import shutil
import signal
import sqlite3
import stat
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from imsg_testing.command_line import Ended, run_imsg
from imsg_testing.deployment import Deployment, running
from imsg_testing.receiver import Call, receiving
from imsg_testing.sandbox_process import run_sandbox
from imsg_testing.service import environment
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
"""Each of these starts everything anew, some twice."""


def back_up(deployment: Deployment, target: Path) -> Ended:
    """Run the verb."""
    return deployment.run("backup", str(target))


def test_a_copy_made_under_load_is_whole_and_goes_on_from_there(tmp_path: Path) -> None:
    """Accepted before the copy: in it, and sent once. Accepted later: unknown to it."""
    accepted: list[str] = []
    copy = tmp_path / "copies" / "备份 1"
    with run_sandbox(tmp_path) as sandbox:
        with running(tmp_path / "lost", sandbox.settings) as deployment:
            deployment.open_wide()
            writer = deployment.new_user(per_day=7)
            sent = deployment.send("sent@example.com")["id"]
            deployment.wait_settled(sent)
            _pause(deployment, paused=True)
            with _sending(deployment, accepted.append):
                wait(lambda: len(accepted) > 20, 60)
                before = len(accepted)
                done = back_up(deployment, copy)
                assert done.returncode == 0, done.stderr
                wait(lambda: len(accepted) > before + 5, 60)
            after = deployment.send("late@example.com")["id"]
            os.kill(deployment.process.pid, signal.SIGKILL)
            wait(lambda: not deployment.process.runs)

        shutil.rmtree(tmp_path / "lost" / "data")
        shutil.copytree(copy, tmp_path / "found" / "data")
        with running(tmp_path / "found", sandbox.settings) as deployment:
            (user,) = [user for user in _users(deployment) if user["username"] == writer]
            assert user["per_day"] == 7
            _pause(deployment, paused=False)
            for request in (sent, *accepted[:before]):
                (message,) = deployment.wait_settled(request)
                assert message["status"] == "sent"
            assert deployment.messages(after) == []
            new = deployment.send("new@example.com")["id"]
            deployment.wait_settled(new)
        times = Counter(mail["to"] for mail in sandbox.inbox())
        assert set(times.values()) == {1}
        assert len(times) >= before + 2


@pytest.mark.timeout(600)
def test_callbacks_and_suppressions_are_in_the_copy_and_hold_in_the_restored_one(tmp_path: Path) -> None:
    """The secret still signs, what had not reached its endpoint still comes, who unsubscribed still gets nothing."""
    settings = {"IMSG_CALLBACKS__ALLOW": "127.0.0.1"}
    with run_sandbox(tmp_path) as sandbox, receiving() as receiver:
        receiver.status = 503
        with running(tmp_path / "lost", {**sandbox.settings, **settings}) as deployment:
            deployment.open_wide()
            token = deployment.token()
            body = {"url": receiver.url(), "events": ["message.sent"], "token": token}
            made = deployment.call("POST", "/api/v2/callbacks", body)
            gone = {"method": "smtp", "to": "gone@example.com", "reason": "unsubscribe", "token": token}
            assert deployment.call("POST", "/api/v2/suppressions", gone)["added"] == 1
            before = deployment.send("before@example.com")["id"]
            wait(lambda: receiver.ids().total() >= 1)
            done = back_up(deployment, tmp_path / "copy")
            assert done.returncode == 0, done.stderr
            os.kill(deployment.process.pid, signal.SIGKILL)
            wait(lambda: not deployment.process.runs)

        receiver.status, told_before = 204, len(receiver.calls)
        shutil.rmtree(tmp_path / "lost" / "data")
        shutil.copytree(tmp_path / "copy", tmp_path / "found" / "data")
        with running(tmp_path / "found", {**sandbox.settings, **settings}) as deployment:
            refused = deployment.send("gone@example.com")["id"]
            (message,) = deployment.wait_settled(refused)
            assert (message["status"], message["error"]["code"]) == ("failed", "suppressed")
            after = deployment.send("after@example.com")["id"]
            verified: list[Call] = []

            def both_came() -> bool:
                for call in receiver.calls[told_before + len(verified) :]:
                    Webhook(made["secret"]).verify(call.body, dict(call.headers))  # now: it is good for five minutes
                    verified.append(call)
                return {before, after} <= {call.event["data"]["request"] for call in verified}

            wait(both_came, 400)  # the third try comes after five minutes, if the second was made before the copy
            (known,) = deployment.call("GET", "/api/v2/callbacks", {"token": deployment.token()})["callbacks"]
            assert known["id"] == made["id"]


def test_a_copy_is_for_its_owners_eyes_and_never_half_there(tmp_path: Path) -> None:
    with running(tmp_path) as deployment:
        target = tmp_path / "copy"
        assert back_up(deployment, target).returncode == 0
        files = [target, *target.rglob("*")]
        assert [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
        names = {str(path.relative_to(target)) for path in files}
        assert {
            "auth.db",
            "history.db",
            "wechat.db",
            "callbacks.db",
            "catalog.db",
            "scheduler.db",
            "secrets/token_key",
            "secrets/secret_key",
        } <= names
        assert "lock" not in names

        again = back_up(deployment, target)
        assert again.returncode == 2
        assert "exists already" in again.stderr
        assert list(tmp_path.glob("*.part")) == []


def test_a_folder_at_rest_is_copied_too_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as deployment:
        request = deployment.send("zhang@example.com")["id"]
        deployment.wait_settled(request)
        deployment.process.end()
        assert back_up(deployment, tmp_path / "copy").returncode == 0
        with closing(sqlite3.connect(tmp_path / "copy" / "history.db")) as copy:
            assert copy.execute("SELECT status FROM messages").fetchall() == [("sent",)]
    nowhere = environment({"IMSG_DATA_DIR": str(tmp_path / "nowhere")})
    done = run_imsg("backup", str(tmp_path / "second"), env=nowhere, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "IMSG_DATA_DIR" in done.stderr


class _sending:  # noqa: N801  a context
    """Sends a mail after the other in a thread for as long as the context lasts."""

    def __init__(self, deployment: Deployment, record: Callable[[str], None]) -> None:
        self._ending = Event()
        deployment.token()

        def send() -> None:
            number = 0
            while not self._ending.is_set():
                answer: dict[str, Any] = deployment.send(f"user{number}@example.com")
                if answer["errorCode"] == 0:
                    record(answer["id"])
                number += 1

        self._thread = Thread(target=send)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


def _users(deployment: Deployment) -> list[dict[str, Any]]:
    users: list[dict[str, Any]] = deployment.call("GET", "/api/v2/users", token=deployment.token())["users"]
    return users


def _pause(deployment: Deployment, *, paused: bool) -> None:
    body = {"token": deployment.token(), "paused": paused}
    assert deployment.call("PATCH", "/api/v2/channels/smtp", body)["errorCode"] == 0
