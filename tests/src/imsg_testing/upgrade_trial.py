"""An upgrade from an older commit, tried: `python -m imsg_testing.upgrade_trial [COMMIT]`.

The older version is checked out and installed beside this one. Its own `imsg up` makes a data folder: a user with a
contact, mails that were sent and one that bounced, a follower with a message, and while the channel is paused single
mails and a list. Then this version starts on that folder, and has to know and send all of it, each once.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imsg_testing.api import PASSWORD, wait
from imsg_testing.deployment import Deployment, Provider, provider, running
from imsg_testing.processes import Process
from imsg_testing.receiver import receiving

FIRST = "39c43ba"
"""Of before there were ids, three lanes, a catalog and callbacks."""

USER = "张三"
LIST = 40
OPEN_WAIT_S = 90.0
SEEN_WITHIN_S = 2.5


@dataclass(frozen=True, slots=True)
class Told:
    """What the older version was told, by the requests' ids."""

    settled: Mapping[str, list[str]]
    """Request → its messages' statuses."""
    waiting: Mapping[str, int]
    """Request → how many messages of it wait."""
    tag: str
    """The follower's."""


class Former(Deployment):
    """The older version's `imsg up`."""

    def __init__(self, folder: Path, settings: Mapping[str, str], imsg: Path) -> None:
        super().__init__(folder, settings)
        self._process = Process([str(imsg), "up"], log=self.output, environment=self.environment, cwd=folder)


@contextmanager
def install(commit: str, folder: Path) -> Iterator[Path]:
    """Check an older version out and install it; return its `imsg`."""
    source = folder / "source"
    subprocess.run(["git", "worktree", "add", "-q", "--detach", str(source), commit], check=True)
    try:
        sync = [".uv/bin/uv", "sync", "--frozen", "-q", "--all-packages", "--no-dev", "--project", str(source)]
        subprocess.run(sync, check=True, env={**os.environ, "VIRTUAL_ENV": ""})
        yield source / ".venv" / "bin" / "imsg"
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(source)], check=True)


def fill(former: Deployment) -> Told:
    """Have the older version know and keep something of everything."""
    user = {"username": USER, "password": PASSWORD, "email": "zhang.san@example.com", "per_hour": 500, "per_day": 900}
    assert former.call("POST", "/api/register", user | {"token": former.token()})["errorCode"] == 0
    token = former.token(USER, PASSWORD)

    def send(to: object, method: str = "smtp", content: object = None) -> str:
        body = {"to": to, "method": method, "content": content or {"subject": "升级之前", "text": "您好"}}
        answer = former.call("POST", "/api/send", body | {"token": token})
        assert answer["errorCode"] == 0, answer
        return str(answer["id"])

    settled = {send("one@example.com"): 1, send(["a@example.com", "bounce@example.com", "b@example.com"]): 3}
    openid = former.call("POST", "/sandbox/wechat/followers", {})["openid"]
    pressed = former.call("POST", f"/sandbox/wechat/followers/{openid}/press", {"key": "获取我的openID"})
    settled[send(pressed["reply"], "wechat", "明天下雨")] = 1
    statuses = {
        request: sorted(one["status"] for one in former.wait_settled(request, count))
        for request, count in settled.items()
    }
    paused = former.call("PATCH", "/api/channels/smtp", {"token": former.token(), "paused": True})
    assert paused["errorCode"] == 0, paused
    wait(lambda: _is_paused(former))
    time.sleep(SEEN_WITHIN_S)  # a sender looks once a second whether its channel is paused
    waiting = {send(f"waiting{number}@example.com"): 1 for number in range(3)}
    waiting[send([f"list{number}@example.com" for number in range(LIST)])] = LIST
    wait(lambda: all(len(former.messages(request)) == count for request, count in waiting.items()))
    return Told(statuses, waiting, pressed["reply"])


def _is_paused(former: Deployment) -> bool:
    channels = former.call("GET", "/api/channels", token=former.token())["channels"]
    return any(one["method"] == "smtp" and one["state"] == "paused" for one in channels)


def check_kept(upgraded: Deployment, told: Told) -> None:
    """See that users, messages and followers are as they were."""
    token = upgraded.token(USER, PASSWORD)
    me = upgraded.call("GET", "/api/v2/me", {"token": token})
    assert (me["email"], me["per_hour"], me["per_day"]) == ("zhang.san@example.com", 500, 900), me
    for request, statuses in told.settled.items():
        found = upgraded.call("GET", "/api/v2/messages", {"token": token}, id=request)["messages"]
        assert _without_receipts(one["status"] for one in found) == _without_receipts(statuses), found
    followers = upgraded.call("GET", "/api/v2/followers", {"token": upgraded.token()})["followers"]
    assert [one["tag"] for one in followers] == [told.tag], followers


def _without_receipts(statuses: Iterable[str]) -> list[str]:
    """Leave out what a receipt adds, whenever it comes."""
    return sorted("sent" if one == "delivered" else one for one in statuses)


def check_sent(upgraded: Deployment, sandbox: Provider, told: Told) -> None:
    """See that what waited is sent, each once."""
    going_on = {"token": upgraded.token(), "paused": False}
    assert upgraded.call("PATCH", "/api/channels/smtp", going_on)["errorCode"] == 0
    before = Counter(mail["to"] for mail in sandbox.inbox())
    for request, count in told.waiting.items():
        settled = upgraded.wait_settled(request, count, OPEN_WAIT_S)
        assert [one["status"] for one in settled] == ["sent"] * count, settled
    new = Counter(mail["to"] for mail in sandbox.inbox()) - before
    wanted = [one for one in new if one.startswith(("waiting", "list"))]
    assert len(wanted) == sum(told.waiting.values()), new
    assert {new[one] for one in wanted} == {1}, new


def check_new_services(upgraded: Deployment) -> None:
    """See that catalog and callbacks serve who was there before them."""
    token = upgraded.token(USER, PASSWORD)
    gone = {"method": "smtp", "to": "gone@example.com", "token": upgraded.token()}
    assert upgraded.call("POST", "/api/v2/suppressions", gone)["added"] == 1
    (refused,) = upgraded.wait_settled(upgraded.send("gone@example.com")["id"])
    assert refused["error"]["code"] == "suppressed", refused
    with receiving() as receiver:
        asked = {"url": receiver.url(), "events": ["message.sent"], "token": token}
        assert upgraded.call("POST", "/api/v2/callbacks", asked)["errorCode"] == 0
        body = {"method": "smtp", "to": "new@example.com", "content": {"subject": "x", "text": "y"}, "token": token}
        new = upgraded.call("POST", "/api/v2/messages", body)["id"]
        wait(lambda: [call.event["data"]["request"] for call in receiver.calls] == [new], 60)


def main(commit: str) -> None:
    """Try it. Raises AssertionError where something was lost or came twice."""
    with tempfile.TemporaryDirectory(prefix="imsg-upgrade-") as name:
        folder = Path(name)
        with install(commit, folder) as imsg, provider(folder) as sandbox:
            former = Former(folder / "kept", sandbox.settings, imsg)
            try:
                former.start()
                told = fill(former)
                former.process.end()
            finally:
                former.close()
            with running(folder / "kept", {**sandbox.settings, "IMSG_CALLBACKS__ALLOW": "127.0.0.1"}) as upgraded:
                check_kept(upgraded, told)
                check_sent(upgraded, sandbox, told)
                check_new_services(upgraded)
    print(f"from {commit}: all of it is kept, and what waited was sent once")  # noqa: T201


if __name__ == "__main__":
    main(*(sys.argv[1:] or [FIRST]))
