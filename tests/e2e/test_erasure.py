"""An erased person's address is in no database, log or dump of Redis."""

import base64
import json
import os
import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.deployment import Deployment, make_attachment, running
from imsg_testing.file_search import search
from imsg_testing.sandbox_process import run_sandbox
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

MAIL = "Zhang.San@example.com"
SPELLINGS = ("zhang.san@example.com", "zhang.san@")
PHONE = "13912345678"
OTHER = "li.si@example.com"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run `imsg up` with the sandbox for its providers."""
    with running(tmp_path_factory.mktemp("erasure")) as deployment:
        deployment.open_wide()
        yield deployment


def send(deployment: Deployment, method: str, to: Any, content: Any, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Send as the administrator; return the answer."""
    body = {"token": deployment.token(), "method": method, "to": to, "content": content, **more}
    answer = deployment.call("POST", "/api/send", body)
    assert answer["errorCode"] == 0, answer
    return answer


def mail(deployment: Deployment, *to: str, key: str | None = None, **more: Any) -> str:  # noqa: ANN401
    """Send a mail; return the request's id."""
    body: dict[str, Any] = {"token": deployment.token(), "method": "smtp", "to": list(to)}
    body["content"] = {"subject": f"你好 {to[0]}", "text": f"写给 {to[0]}"}
    headers = {"Idempotency-Key": key} if key else {}
    answer = deployment.client.post("/api/send", json=body | more, headers=headers)
    assert answer.json()["errorCode"] == 0, answer.text
    return str(answer.headers.get("x-imsg-id") or answer.json()["id"])


def erase(deployment: Deployment, method: str, to: str) -> str:
    """Erase an address; return the erasure's id."""
    answer = deployment.client.post("/api/v2/erasures", json={"token": deployment.token(), "method": method, "to": to})
    assert answer.json()["errorCode"] == 0, answer.text
    return str(answer.json()["id"])


def wait_until_done(deployment: Deployment, erasure: str, within_s: float = 150) -> None:
    """Wait until nothing remains."""
    latest: dict[str, Any] = {}

    def is_done() -> bool:
        latest.update(deployment.call("GET", f"/api/v2/erasures/{erasure}", token=deployment.token()))
        return latest.get("state") == "done"

    wait(is_done, within_s, every_s=0.2, why=lambda: f"{latest}\n{deployment.logs}")
    assert latest["remains"] == []


def pause(deployment: Deployment, method: str, *, paused: bool) -> None:
    """Pause or resume a channel."""
    body = {"token": deployment.token(), "paused": paused}
    assert deployment.call("PATCH", f"/api/v2/channels/{method}", body)["errorCode"] == 0


def test_a_person_is_erased_from_every_place_that_held_their_address(deployment: Deployment) -> None:
    """Sent, failed, queued, retrying, in a list, with a file named for them, under a key, as SMS too."""
    pause(deployment, "smtp", paused=False)
    single = mail(deployment, MAIL, key="one", attachment=make_attachment(f"{MAIL} 合同.txt", f"致 {MAIL}".encode()))
    long = mail(deployment, MAIL.upper(), content={"subject": "长", "text": f"{MAIL} " * 5_000})
    listed = mail(deployment, OTHER, MAIL, "wang.wu@example.com")
    deployment.wait_settled(single)
    deployment.wait_settled(long)
    deployment.wait_settled(listed, 3)
    deployment.order("5xx", times=1)
    late = mail(deployment, MAIL)
    wait(lambda: [message["status"] for message in deployment.messages(late)] in (["retrying"], ["failed"]))
    text = send(deployment, "sms", PHONE, "您的包裹已到")["id"]
    deployment.wait_settled(text)
    pause(deployment, "smtp", paused=True)
    queued = mail(deployment, MAIL, OTHER, key="two")
    wait(lambda: len(deployment.messages(queued)) == 2)
    assert search(deployment.data, *SPELLINGS)

    erasures = [erase(deployment, "smtp", MAIL.swapcase()), erase(deployment, "sms", f"+86{PHONE}")]
    remains = deployment.call("GET", f"/api/v2/erasures/{erasures[0]}", token=deployment.token())
    assert remains["state"] in ("erasing", "draining")
    assert {place["where"] for place in remains["remains"]}
    pause(deployment, "smtp", paused=False)
    for erasure in erasures:
        wait_until_done(deployment, erasure)

    assert search(deployment.data, *SPELLINGS, PHONE) == []
    times = [message["to"].lower() for message in deployment.inbox(method="smtp")].count(MAIL.lower())
    assert times == 3, "what was accepted before is not sent after"
    (kept,) = deployment.messages(single)
    assert (kept["to"], kept["content"], kept["subject"], kept["attachments"]) == (None, None, None, [])
    assert (kept["method"], kept["status"], kept["error"]) == ("smtp", "sent", {"code": "erased", "detail": None})
    others = {message["to"]: message for message in deployment.messages(listed)}
    assert others[OTHER]["status"] == "sent"
    assert set(others) == {OTHER, None, "wang.wu@example.com"}
    assert {message["to"]: message["status"] for message in deployment.messages(queued)} == {
        None: "failed",
        OTHER: "sent",
    }
    assert [message["status"] for message in deployment.messages(late)] == ["failed"]
    assert [message["segments"] for message in deployment.messages(text)] == [1]


def test_what_is_sent_to_them_afterwards_is_a_new_relation(deployment: Deployment) -> None:
    wait_until_done(deployment, erase(deployment, "smtp", "new@example.com"))
    request = mail(deployment, "New@example.com")
    (message,) = deployment.wait_settled(request)
    assert (message["to"], message["status"]) == ("New@example.com", "sent")


def test_what_waits_for_its_next_attempt_is_reported_as_remaining(deployment: Deployment) -> None:
    deployment.order("greylist", times=1)
    request = mail(deployment, "waiting@example.com")
    wait(lambda: [message["status"] for message in deployment.messages(request)] == ["retrying"])
    erasure = erase(deployment, "smtp", "waiting@example.com")
    latest: dict[str, Any] = {}

    def waits() -> bool:
        latest.update(deployment.call("GET", f"/api/v2/erasures/{erasure}", token=deployment.token()))
        return any(place["where"] == "queue imsg.smtp.normal.retry.300" for place in latest["remains"])

    wait(waits, 60, every_s=0.2, why=lambda: f"{latest}\n{deployment.logs}")
    assert latest["state"] == "draining"
    until = {datetime.fromisoformat(place["until"]) for place in latest["remains"] if place["until"]}
    assert all(timedelta(hours=71) < moment - datetime.now(UTC) < timedelta(hours=73) for moment in until)
    (message,) = deployment.messages(request)
    assert (message["to"], message["status"]) == (None, "failed"), "though its job waits still"


def test_a_users_contact_is_not_erased_and_the_remedy_is_shown(deployment: Deployment) -> None:
    name = deployment.new_user(email="Contact@example.com")
    body = {"token": deployment.token(), "method": "smtp", "to": "contact@EXAMPLE.com"}
    answer = deployment.call("POST", "/api/v2/erasures", body)
    assert (answer["errorCode"], answer["reason"]) == (10016, "contact_in_use")
    assert name in answer["detail"]
    assert deployment.call("DELETE", f"/api/v2/users/{name}", {"token": deployment.token()})["errorCode"] == 0
    wait_until_done(deployment, erase(deployment, "smtp", "contact@example.com"))
    assert search(deployment.data, "contact@example.com") == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"method": "fax", "to": "1"}, 10008),
        ({"method": "smtp", "to": "no address"}, 10011),
        ({"method": "sms", "to": "a@example.com"}, 10011),
        ({"method": "smtp", "to": ["a@example.com"]}, 10011),
        ({"method": "smtp"}, 10002),
    ],
)
def test_a_wrong_erasure_is_refused(deployment: Deployment, asked: dict[str, Any], code: int) -> None:
    assert deployment.call("POST", "/api/v2/erasures", {"token": deployment.token(), **asked})["errorCode"] == code


def test_an_erasure_of_a_number_written_otherwise_is_refused_with_the_form_wanted(deployment: Deployment) -> None:
    body = {"token": deployment.token(), "method": "sms", "to": "１５９ 1234 1256"}
    answer = deployment.call("POST", "/api/v2/erasures", body)
    assert answer["detail"] == "收件人不正确：to 含有全角字符、中间有空白，请写成 15912341256。"


def test_only_administrators_erase_and_look(deployment: Deployment) -> None:
    token = deployment.new_user_token()
    body = {"token": token, "method": "smtp", "to": "a@example.com"}
    assert deployment.call("POST", "/api/v2/erasures", body)["reason"] == "no_right"
    assert deployment.call("GET", "/api/v2/erasures/0", token=token)["reason"] == "no_right"
    assert deployment.call("GET", "/api/v2/erasures/0", token=deployment.token())["reason"] == "not_found"


def test_a_follower_is_erased_with_the_openid(deployment: Deployment) -> None:
    openid = deployment.call("POST", "/sandbox/wechat/followers", {})["openid"]
    tag = deployment.press(openid)
    request = send(deployment, "wechat", tag, "明天下雨")["id"]
    wait(lambda: [message["status"] for message in deployment.messages(request)] == ["delivered"])
    assert search(deployment.data, openid)

    wait_until_done(deployment, erase(deployment, "wechat", tag.lower().replace("-", "")))

    assert search(deployment.data, openid, tag) == []
    assert deployment.press(openid) != tag, "who comes back is somebody new"


def test_a_restored_copy_knows_who_was_erased_since(tmp_path: Path) -> None:
    """In place, and started where it lies."""
    with run_sandbox(tmp_path) as sandbox, running(tmp_path / "one", sandbox.settings) as deployment:
        request = mail(deployment, MAIL)
        deployment.wait_settled(request)
        made = deployment.run("backup", str(tmp_path / "copy"))
        assert made.returncode == 0, made.stderr
        assert search(tmp_path / "copy", *SPELLINGS)
        wait_until_done(deployment, erase(deployment, "smtp", MAIL))
        os.kill(deployment.process.pid, signal.SIGKILL)
        wait(lambda: not deployment.process.runs)

        shutil.copytree(tmp_path / "copy", tmp_path / "two" / "data")
        with running(tmp_path / "two", sandbox.settings) as other:
            wait(
                lambda: search(other.data, *SPELLINGS) == [],
                60,
                every_s=0.5,
                why=lambda: f"{search(other.data, *SPELLINGS)}{other.logs}",
            )
        shutil.rmtree(deployment.data)
        shutil.copytree(tmp_path / "copy", deployment.data)
        deployment.start()
        wait(lambda: search(deployment.data, *SPELLINGS) == [], 60, every_s=0.5, why=lambda: deployment.logs)
        assert [message["to"] for message in deployment.messages(request)] == [None]


def test_an_erasure_goes_on_after_a_crash(tmp_path: Path) -> None:
    with run_sandbox(tmp_path) as sandbox, running(tmp_path / "one", sandbox.settings) as deployment:
        request = mail(deployment, MAIL)
        deployment.wait_settled(request)
        erasure = erase(deployment, "smtp", MAIL)
        os.kill(deployment.process.pid, signal.SIGKILL)
        wait(lambda: not deployment.process.runs)
        deployment.start()
        wait_until_done(deployment, erasure, within_s=200)
        assert search(deployment.data, *SPELLINGS) == []


def test_the_command_line_erases_and_shows_what_remains(deployment: Deployment) -> None:
    run = partial(deployment.run, IMSG_PASSWORD="123")

    assert run("login", "admin").returncode == 0
    asks = run("erase", "address", "smtp", "cli@example.com")
    assert asks.returncode == 2
    assert "--yes" in asks.stderr
    answer = run("erase", "address", "smtp", "cli@example.com", "--yes", "--json")
    assert answer.returncode == 0, answer.stderr
    name = json.loads(answer.stdout)["id"]
    wait_until_done(deployment, name)
    shown = run("erase", "show", name)
    assert (shown.returncode, shown.stdout.split()) == (0, ["state", "done"])
    assert run("erase", "show", "0").returncode == 1


def test_base64_of_an_attachment_goes_too(deployment: Deployment) -> None:
    content = b"nobody but lonely@example.com reads this"
    request = mail(deployment, "lonely@example.com", attachment=make_attachment("a.txt", content))
    deployment.wait_settled(request)
    assert search(deployment.data, content.decode())
    wait_until_done(deployment, erase(deployment, "smtp", "lonely@example.com"))
    assert search(deployment.data, content.decode(), base64.b64encode(content).decode()) == []
