"""An address is planted in every field; after its erasure no store, file or answer contains it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.deployment import Deployment, make_attachment, running
from imsg_testing.file_search import search
from imsg_testing.receiver import Receiver, receiving
from imsg_testing.servers import Postgres
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.release, pytest.mark.timeout(400)]

MAIL = "Qian.Duo@example.com"
PHONE = "13612345678"
OTHER = "li.si@example.com"
NAME = "钱多多"
NEEDLES = (MAIL, PHONE, NAME)
DONE_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Site:
    """`imsg up` on one of the databases, and a client's receiver that echoes its calls."""

    deployment: Deployment
    receiver: Receiver
    postgres: Postgres | None

    def traces(self) -> list[str]:
        """Search files, logs and PostgreSQL for the person."""
        found = search(self.deployment.folder, *NEEDLES)
        if self.postgres is not None:
            command = [self.postgres.program("pg_dump"), f"--dbname={self.postgres.url_of('imsg')}"]
            dump = subprocess.run(command, check=True, capture_output=True).stdout.lower()
            found += [
                f"dump of PostgreSQL: {needle}"
                for needle in NEEDLES
                if (needle.lower().encode() in dump) or (needle.lower().encode().hex().encode() in dump)
            ]
        return found

    def ask(self, verb: str, path: str, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
        """Return the answer to a call of the administrator, which must succeed."""
        asked = {"token": self.deployment.token(), **(body or {})}
        answer = self.deployment.call(verb, f"/api/v2/{path}", asked, **query)
        assert answer["errorCode"] == 0, answer
        return answer

    def send(self, method: str, to: list[str], content: Any, *, key: str = "", **more: Any) -> str:  # noqa: ANN401
        """Send; return the request's id."""
        body = {"token": self.deployment.token(), "method": method, "to": to, "content": content, **more}
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.deployment.client.post("/api/v2/messages", json=body, headers=headers).json()
        assert answer["errorCode"] == 0, answer
        return str(answer["id"])

    def erase(self, method: str, to: str) -> None:
        """Erase an address, and wait until nothing is reported to remain."""
        erasure = self.ask("POST", "erasures", {"method": method, "to": to})["id"]
        latest: dict[str, Any] = {}

        def is_done() -> bool:
            latest.update(self.ask("GET", f"erasures/{erasure}"))
            return bool(latest["state"] == "done")

        wait(is_done, DONE_WITHIN_S, every_s=0.3, why=lambda: f"{latest}\n{self.deployment.logs}")


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Run it on either database."""
    with ExitStack() as stack:
        settings = {"IMSG_CALLBACKS__ALLOW": "127.0.0.1"}
        postgres = None
        if request.param == "postgres":
            postgres = stack.enter_context(Postgres())
            settings["IMSG_DATABASE_URL"] = postgres.create_database("imsg")
        receiver = stack.enter_context(receiving())
        deployment = stack.enter_context(running(tmp_path / "site", settings))
        deployment.open_wide()
        yield Site(deployment, receiver, postgres)


def test_after_done_nothing_has_the_address_that_was_written_into_every_field(site: Site) -> None:
    deployment, receiver = site.deployment, site.receiver
    receiver.status, receiver.answer = 500, f"no such customer: {MAIL}, {PHONE}".encode()
    events = ["message.sent", "message.delivered", "message.failed", "message.reply", "request.settled"]
    made = site.ask("POST", "callbacks", {"url": receiver.url(), "events": events})
    site.ask("GET", "events")
    name = deployment.new_user(email=MAIL, phone=PHONE)
    site.ask("DELETE", f"users/{name}")
    gone = site.ask("POST", "suppressions", {"method": "smtp", "to": MAIL, "reason": "invalid", "note": f"n {MAIL}"})
    site.ask("DELETE", f"suppressions/{gone['id']}")

    about = {"subject": f"你好 {MAIL}", "text": f"写给 {MAIL}，电话 {PHONE}", "html": f"<p>{MAIL}</p>"}
    attached = make_attachment(f"{MAIL} 合同.txt", f"致 {MAIL}".encode())
    plain = {"subject": "你好", "text": "您好"}
    requests = [
        site.send("smtp", [MAIL], about, key=f"key-{MAIL}", reference=f"order-for-{MAIL}", attachment=attached),
        site.send("smtp", [OTHER, MAIL], plain, key=f"list-{MAIL}", reference=f"给{MAIL}的"),
        site.send("smtp", [OTHER, MAIL.upper()], {"subject": "长", "text": f"{MAIL} 您好 " * 5_000}),
        site.send("smtp", [OTHER, f"{NAME} <{MAIL}>"], plain),
        site.send("sms", [PHONE], f"您的包裹 {PHONE} 已到", reference=f"parcel-{PHONE}"),
    ]
    for request, count in zip(requests, (1, 2, 2, 2, 1), strict=True):
        deployment.wait_settled(request, count)
    deployment.order("5xx", times=1)
    requests.append(site.send("smtp", [MAIL], plain, reference=MAIL))
    deployment.wait_settled(requests[-1])
    wait(
        lambda: bool(
            deployment.call("POST", "/sandbox/sms/replies", {"from": PHONE, "text": f"我是{MAIL}"}).get("kept")
        )
    )
    wait(lambda: any(kind == "message.reply" for kind in receiver.types()), why=lambda: str(receiver.types()))
    site.ask("POST", "suppressions", {"method": "smtp", "to": MAIL, "scope": {"sender": MAIL}, "note": f"说 {MAIL}"})
    site.ask("POST", "suppressions", {"method": "sms", "to": PHONE, "note": f"说 {PHONE}"})
    wait(lambda: len(receiver.ids()) >= 12, why=lambda: str(receiver.types()))
    read = json.dumps(site.ask("GET", "events", limit="500"), ensure_ascii=False).lower()
    assert all(needle.lower() in read for needle in NEEDLES)
    planted = site.traces()
    assert all(any(needle.lower() in place for place in planted) for needle in NEEDLES), planted

    site.erase("smtp", MAIL.swapcase())
    site.erase("sms", PHONE)

    assert site.traces() == []
    listed = "deliveries", "messages", "requests", "replies", "dead", "suppressions", "channels", "events", "users"
    answers = {
        path: json.dumps(
            site.ask("GET", f"callbacks/{made['id']}/{path}" if path == "deliveries" else path), ensure_ascii=False
        ).lower()
        for path in (*listed, *(f"requests/{request}" for request in requests))
    }
    assert [path for path, text in answers.items() if any(needle.lower() in text for needle in NEEDLES)] == []
    before = len(receiver.calls)
    receiver.status, receiver.answer = 204, b""
    for event in json.loads(answers["events"])["events"]:
        site.ask("POST", f"callbacks/{made['id']}/deliveries/{event['id']}/resend")
    wait(lambda: len(receiver.calls) >= before + 12, 60, why=lambda: str(receiver.types()[before:]))
    sent_again = b"\n".join(call.body for call in receiver.calls[before:]).decode().lower()
    assert [needle for needle in NEEDLES if needle.lower() in sent_again] == []
    kept = {message["id"]: message["to"] for request in requests for message in deployment.messages(request)}
    assert sorted(to for to in kept.values() if to) == [OTHER] * 3, "what was sent to others stays"
