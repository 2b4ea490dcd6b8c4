"""`imsg trace ID`: a message's whole way from history and the logs, by every way of sending, in JSON and text."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.command_line import Ended
from imsg_testing.deployment import Deployment, running
from imsg_testing.receiver import receiving
from imsg_testing.waiting import wait

NO_PHONE = "19900000002"
"""A number that the sandbox refuses."""

MAIL = {"method": "smtp", "content": {"subject": "s", "text": "the words of a message"}}


def trace(deployment: Deployment, request: str, *logs: str, given: str = "") -> Ended:
    words = ("trace", request, *logs, "--json")
    return deployment.run(*words, given=given, IMSG_USERNAME="admin", IMSG_PASSWORD="123")


def find_lines(deployment: Deployment, request: str) -> set[str]:
    """Return what the log says of a request."""
    done = trace(deployment, request, str(deployment.output))
    if done.returncode == 1:
        return set()  # history does not know the request yet
    assert done.returncode == 0, done.stderr
    return {step["what"] for step in json.loads(done.stdout)["steps"] if step["source"] == "log"}


@pytest.mark.long  # two starts
@pytest.mark.parametrize("form", ["json", "text"])
def test_each_way_of_sending_leaves_a_line_at_every_service(tmp_path: Path, form: str) -> None:
    settings = {"IMSG_LOG_FORMAT": form, "IMSG_LOG_LEVEL": "INFO", "IMSG_CALLBACKS__ALLOW": "127.0.0.1"}
    with running(tmp_path, settings) as deployment, receiving() as receiver:
        deployment.open_wide()
        token = deployment.token()
        hook = {"url": receiver.url("/"), "events": ["message.sent", "message.failed", "request.settled"]}
        assert deployment.call("POST", "/api/v2/callbacks", hook | {"token": token})["errorCode"] == 0

        def send(**fields: Any) -> str:  # noqa: ANN401  any field of a send
            answer = deployment.call("POST", "/api/v2/messages", {"token": token, **MAIL, **fields})
            return str(answer["id"])

        later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        people: Mapping[str, Any] = {"to": NO_PHONE, "contacts": {"smtp": "b@example.com"}}
        leg = {**MAIL, "after_s": 60}
        first = deployment.client.post("/api/send", json={"token": token, "to": "a@example.com", **MAIL})
        released, cancelled = send(to="d@example.com", send_at=later), send(to="e@example.com", send_at=later)
        sends = {
            first.headers["x-imsg-id"]: (),
            send(to="b@example.com"): (),
            send(to=[f"c{n}@example.com" for n in range(60)]): (),
            released: ("scheduled", "released"),
            send(method="sms", content="明天下雨", to=[people], fallback=[leg]): ("leg_begun",),
            send(method="sms", content="明天下雨", to="13800000001"): ("receipts_matched",),
        }
        for request in (released, cancelled):
            wait(lambda: "scheduled" in find_lines(deployment, request), 60, 1)  # noqa: B023  it is called here
        body = {"token": token, "send_at": (datetime.now(UTC) + timedelta(days=2)).isoformat()}
        assert deployment.call("PATCH", f"/api/v2/requests/{cancelled}", body)["errorCode"] == 0
        for request, change in ((released, "release"), (cancelled, "cancel")):
            answer = deployment.call("POST", f"/api/v2/requests/{request}/{change}", {"token": token})
            assert answer["errorCode"] == 0, answer

        for request, more in sends.items():
            wanted = {"answered", "delivered", "recorded", "called", *more}
            wait(
                lambda: wanted <= find_lines(deployment, request),  # noqa: B023  it is called here
                60,
                1,
                lambda: f"{wanted - find_lines(deployment, request)}: {deployment.logs}",  # noqa: B023
            )
        wait(lambda: {"moved", "cancelled", "recorded"} <= find_lines(deployment, cancelled), 60, 1)

        # By containers the name of each is before the line; what is piped in is read.
        request = list(sends)[1]
        piped = "\n".join(f"sender-smtp-1  | {line}" for line in deployment.logs.splitlines())
        answer = json.loads(trace(deployment, request, "-", given=piped).stdout)
        steps = [step for step in answer["steps"] if step["what"] == "delivered"]
        assert [step["source"] for step in steps] == ["sender-smtp-1"]
        assert next(step["what"] for step in answer["steps"] if step["source"] == "history") == "accepted"
        assert "the words of a message" not in json.dumps(answer, ensure_ascii=False)

        # The legs of a fallback are requests of their own, and on the same way.
        assert len(json.loads(trace(deployment, list(sends)[4]).stdout)["requests"]) == 2


def test_what_is_no_id_and_a_file_that_is_not_there_are_refused(deployment: Deployment) -> None:
    assert "is no id" in trace(deployment, "--", "no-id").stderr
    sent = deployment.send("a@example.com")
    deployment.wait_settled(sent["id"])
    assert "can't be read" in trace(deployment, sent["id"], "gone.log").stderr
