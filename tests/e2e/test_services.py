"""iMSG as services on RabbitMQ, PostgreSQL and Valkey, with two gateways and a killed sender."""

import asyncio
import os
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from imsg_testing.api import AWAY, PASSWORD, PatientTransport
from imsg_testing.processes import descendants
from imsg_testing.service import Service
from imsg_testing.services import Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # services of its own


def mail(token: str, to: str = "zhang@example.com") -> dict[str, object]:
    """Make the body of a small mail."""
    return {"token": token, "to": to, "method": "smtp", "content": {"subject": "hello", "text": "您好"}}


def test_a_mail_is_sent_and_queried_through_either_gateway(services: Services) -> None:
    """What one accepts the other finds."""
    accepted = services.through(1).client.post("/api/v2/messages", json=mail(services.token())).json()
    (message,) = services.wait_settled(accepted["id"])
    assert (message["status"], message["to"]) == ("sent", "zhang@example.com")


def test_rabbitmq_logs_no_error_while_nothing_happens(services: Services) -> None:
    """For the ten seconds that a mail waits to be tried again, and however often the channels are looked at."""

    def count_consumers() -> int | None:
        channels = services.call("GET", "/api/v2/channels", token=services.token())["channels"]
        found: int | None = next(channel["consumers"] for channel in channels if channel["method"] == "smtp")
        return found

    errors = services.rabbit.count_errors()
    accepted = services.client.post("/api/v2/messages", json=mail(services.token(), "away@example.com")).json()
    for _ in range(10):
        wait(lambda: count_consumers() == len(services.senders), 60)  # unknown where RabbitMQ takes over a second
    (message,) = services.wait_settled(accepted["id"])
    assert (message["status"], message["attempts"]) == ("sent", 2)
    assert services.rabbit.count_errors() == errors


async def test_exactly_five_of_200_simultaneous_requests_pass_through_two_gateways(services: Services) -> None:
    """A user with five an hour: no number of gateways and no race lets a sixth through."""

    async def send_at_once() -> Counter[int]:
        token = await asyncio.to_thread(services.new_user_token, per_hour=5, per_day=20)
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=200)) as http:
            urls = [f"{services.gateways[number % 2].url}/api/v2/messages" for number in range(200)]
            answers = await asyncio.gather(*(http.post(url, json=mail(token)) for url in urls))
        return Counter(answer.json()["errorCode"] for answer in answers)

    for _ in range(9):
        codes = await send_at_once()
        assert codes[0] <= 5
        if AWAY not in codes:  # none of them met a Redis or a broker that stood still
            break
    assert codes == {0: 5, 10013: 195}


def test_modify_is_in_force_for_the_very_next_send_on_the_other_gateway(services: Services) -> None:
    """Through one gateway the limit is lifted or sending turned off; the other knows at once."""
    name = services.new_user(per_hour=1, per_day=100)
    token = services.token(name, "correct horse")
    first, second = services.through(0), services.through(1)
    assert second.client.post("/api/v2/messages", json=mail(token)).json()["errorCode"] == 0
    for allowed in range(2, 12):
        assert second.client.post("/api/v2/messages", json=mail(token)).json()["reason"] == "per_hour_used_up"
        change = {"token": services.token(), "per_hour": allowed, "per_day": 100}
        assert first.client.post(f"/api/modify/{name}", json=change).json()["errorCode"] == 0
        assert second.client.post("/api/v2/messages", json=mail(token)).json()["errorCode"] == 0
    off = {"token": services.token(), "per_hour": 100, "per_day": 100, "available": False}
    assert first.client.post(f"/api/modify/{name}", json=off).json()["errorCode"] == 0
    assert second.client.post("/api/v2/messages", json=mail(token)).json()["reason"] == "sending_disabled"


def test_sends_by_template_go_on_while_the_catalog_is_away(services: Services) -> None:
    """Through both gateways, with the words that were published; what was not is refused as ever."""
    token, name = services.token(), f"t{secrets.token_hex(6)}"
    words = {"zh": {"smtp": {"subject": "{{ name }}", "text": "{{ name }}，您的预约在{{ time }}。"}}}
    template = {"name": name, "category": "notice", "default_language": "zh", "languages": words}
    assert services.call("POST", "/api/v2/templates", {"token": token, **template})["errorCode"] == 0
    assert services.call("POST", f"/api/v2/templates/{name}/publish", {"token": token})["errorCode"] == 0
    to = [{"to": f"{secrets.token_hex(6)}@example.com", "params": {"name": who}} for who in ("张三", "李四")]
    body = {"token": token, "method": "smtp", "template": name, "params": {"time": "九点"}, "to": to}
    assert services.catalog is not None
    services.catalog.process.kill()
    try:
        url = f"{services.urls[0]}/api/v2/templates/{name}"
        assert httpx.get(url, params={"token": token}, timeout=60).json()["errorCode"] == AWAY
        answers = [services.through(n).client.post("/api/v2/messages", json=body).json() for n in range(2)]
        assert [answer["errorCode"] for answer in answers] == [0, 0], answers
        for answer in answers:
            messages = sorted(services.wait_settled(answer["id"], 2), key=lambda message: str(message["id"]))
            assert [message["status"] for message in messages] == ["sent", "sent"]
            assert [message["content"]["text"] for message in messages] == [
                "张三，您的预约在九点。",
                "李四，您的预约在九点。",
            ]
        other = services.client.post("/api/v2/messages", json={**body, "template": "nothing"}).json()
        assert other["errorCode"] == 10017, other
    finally:
        services.catalog.start()
    wait(lambda: services.call("GET", f"/api/v2/templates/{name}", token=token).get("languages") == words, 60)


def test_log_out_everywhere_ends_every_token_on_the_other_gateway(services: Services) -> None:
    """The epoch is read in the step that counts."""
    name = services.new_user()
    logins = [
        services.call("POST", "/api/login", {"username": name, "password": "correct horse"})["token"] for _ in range(2)
    ]
    other = services.through(1)
    assert all(other.client.post("/api/v2/messages", json=mail(token)).json()["errorCode"] == 0 for token in logins)
    assert services.call("POST", "/api/v2/logout", {"token": logins[0], "everywhere": True})["errorCode"] == 0
    answers = [other.client.post("/api/v2/messages", json=mail(token)).json()["errorCode"] for token in logins]
    assert answers == [10005, 10005]


def test_concurrent_repeats_with_one_key_are_one_request(services: Services) -> None:
    """Twenty at once through two gateways: one id, one count, one mail."""
    token = services.new_user_token(per_hour=5, per_day=5)
    body = mail(token, "once@example.com")

    def send(number: int) -> httpx.Response:
        headers = {"Idempotency-Key": "order-1"}
        with httpx.Client(transport=PatientTransport(), timeout=60) as client:
            return client.post(f"{services.gateways[number % 2].url}/api/v2/messages", json=body, headers=headers)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert {answer.json()["errorCode"] for answer in answers} == {0}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    services.wait_settled(answers[0].json()["id"])
    assert sum(message["to"] == "once@example.com" for message in services.received()) == 1


@pytest.mark.timeout(240)
def test_a_sender_killed_in_mid_bulk_loses_no_message_and_repeats_only_those_in_flight(services: Services) -> None:
    """2,000 recipients, kill -9 of one of two senders on RabbitMQ: every recipient settles, exactly once in history."""
    everybody = [f"reader{number}@example.org" for number in range(2_000)]
    arrived = "@example.org"
    accepted = services.send(everybody)
    assert accepted["count"] == len(everybody)

    def read_received() -> list[str]:
        return [message["to"] for message in services.received() if message["to"].endswith(arrived)]

    wait(lambda: len(read_received()) > 100, every_s=0.05)
    victim = services.senders[0]
    victim.process.kill()
    messages = services.wait_settled(accepted["id"], len(everybody), within_s=180)
    victim.start()

    mails = Counter(read_received())
    duplicates = sum(count - 1 for count in mails.values())
    in_flight = 16
    assert Counter(message["status"] for message in messages) == {"sent": len(everybody)}
    assert set(mails) == set(everybody)
    assert duplicates <= in_flight


def test_a_gateway_killed_with_a_key_in_hand_leaves_the_repeat_to_the_other(services: Services) -> None:
    """Whatever the killed one had reached, the repeat ends with one accepted request and one mail."""
    token = services.new_user_token(per_hour=50, per_day=50)
    gateway = services.gateways[1]
    body = mail(token, "killed@example.net")
    headers = {"Idempotency-Key": "killed-1"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: httpx.post(f"{gateway.url}/api/v2/messages", json=body, headers=headers, timeout=5))
        gateway.process.kill()
        first.exception(timeout=30)
    gateway.start()
    answer: dict[str, object] = {}

    def is_accepted() -> bool:
        answer.update(
            httpx.post(f"{services.gateways[0].url}/api/v2/messages", json=body, headers=headers, timeout=60).json()
        )
        return answer["errorCode"] == 0

    wait(is_accepted, 60, every_s=0.5, why=lambda: str(answer))
    services.wait_settled(str(answer["id"]))
    assert sum(message["to"] == "killed@example.net" for message in services.received()) == 1


def test_recording_gives_way_to_urgent_messages(services: Services) -> None:
    """Where every core is busy, a log-in code is not to wait for rows."""

    def niceness(service: Service) -> int:
        return max(
            os.getpriority(os.PRIO_PROCESS, pid) for pid in (service.process.pid, *descendants(service.process.pid))
        )

    others = {niceness(gateway) for gateway in (*services.gateways, services.auth, *services.senders)}
    assert len(others) == 1
    assert niceness(services.history) > others.pop()


def test_what_is_due_while_scheduler_is_away_is_accepted_shown_as_late_and_sent_when_it_is_back(
    services: Services,
) -> None:
    """A code, a single message, a list: all overdue when it comes back."""
    name = services.new_user()
    allowed = {"token": services.token(), "may_send_codes": True}
    assert services.call("PATCH", f"/api/v2/users/{name}", allowed)["errorCode"] == 0
    token, domain = services.token(name, PASSWORD), f"{secrets.token_hex(4)}.example.com"
    (scheduler,) = services.schedulers
    scheduler.stop()
    try:
        requests = []
        for to, category in (
            ([f"list{n}@{domain}" for n in range(20)], "notice"),
            (f"one@{domain}", "notice"),
            (f"code@{domain}", "code"),
        ):
            due = datetime.now(UTC) + timedelta(seconds=8)
            body = mail(token) | {"to": to, "category": category, "send_at": due.isoformat()}
            answer = services.call("POST", "/api/v2/messages", body)
            assert answer["errorCode"] == 0, answer
            requests.append((answer["id"], answer["count"]))

        def read_late_s() -> int:
            channels = services.call("GET", "/api/v2/channels", token=services.token())["channels"]
            return int(next(channel["late_s"] for channel in channels if channel["method"] == "smtp"))

        def show() -> tuple[object, object]:
            shown = services.call("GET", f"/api/v2/requests/{requests[0][0]}", token=token)
            return shown.get("state"), shown.get("counts", {}).get("scheduled")

        wait(lambda: read_late_s() >= 2, 60)
        wait(lambda: show() == ("scheduled", 20), 60, why=lambda: str(show()))
    finally:
        scheduler.start()
    for request, count in requests:
        assert {message["status"] for message in services.wait_settled(request, count)} == {"sent"}
    wait(lambda: read_late_s() == 0, 60)
    arrived = Counter(message["to"] for message in services.received() if message["to"].endswith(domain))
    assert (len(arrived), set(arrived.values())) == (22, {1})
