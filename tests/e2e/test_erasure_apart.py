"""With separate services, an erased person's address is in no dump of PostgreSQL and no key of Redis."""

import subprocess
from contextlib import suppress
from typing import Any

import httpx
import pytest
import redis

from imsg_testing.services import Services
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.release, pytest.mark.timeout(300)]

MAIL = "Zhang.San@example.com"
OTHER = "li.si@example.com"


def send(services: Services, *to: str, key: str = "", **more: Any) -> str:  # noqa: ANN401
    """Send a mail and return the request's id."""
    content = {"subject": f"给 {to[0]}", "text": "您好"}
    body = {"token": services.token(), "method": "smtp", "to": list(to), "content": content, **more}
    headers = {"Idempotency-Key": key} if key else {}
    answer = httpx.post(f"{services.gateways[0].url}/api/v2/messages", json=body, headers=headers, timeout=30).json()
    assert answer["errorCode"] == 0, answer
    return str(answer["id"])


def search(services: Services) -> list[str]:
    """Search dumps of every database, every key of Redis and its files for the address."""
    postgres, valkey = services.postgres, services.valkey
    needle = MAIL.lower().encode()
    dumps = {}
    for name in ("auth", "history"):
        command = [postgres.program("pg_dump"), f"--dbname={postgres.url_of(name)}"]
        dump = subprocess.run(command, check=True, capture_output=True).stdout.lower()
        # A bytea stands in hexadecimal.
        dumps[f"dump of {name}"] = dump if needle in dump else dump.replace(needle.hex().encode(), needle)
    with redis.Redis.from_url(valkey.url) as client:
        for key in client.scan_iter():
            dumps[f"Redis' {key!r}"] = key.lower() + (client.dump(key) or b"").lower()
    for file in valkey.folder.rglob("*"):
        if file.is_file():
            with suppress(FileNotFoundError):  # Valkey has just replaced it
                dumps[file.name] = file.read_bytes().lower()
    return [name for name, dump in dumps.items() if needle in dump]


def test_a_person_is_erased_from_every_database_and_from_redis(services: Services) -> None:
    single = send(services, MAIL, key="a-key")
    listed = send(services, OTHER, MAIL.upper())
    services.wait_settled(single)
    services.wait_settled(listed, 2)
    token = services.token()
    assert services.call("PATCH", "/api/v2/channels/smtp", {"token": token, "paused": True})["errorCode"] == 0
    queued = send(services, MAIL, OTHER, content={"subject": "您好", "text": "x"})
    wait(lambda: len(services.messages(queued)) == 2)
    assert {"dump of history"} <= set(search(services))

    body = {"token": token, "method": "smtp", "to": MAIL.swapcase()}
    answer = httpx.post(f"{services.gateways[0].url}/api/v2/erasures", json=body, timeout=30)
    assert answer.status_code == 202, answer.text
    erasure = answer.json()["id"]
    latest: dict[str, Any] = {}

    def stands(state: str) -> bool:
        latest.update(services.call("GET", f"/api/v2/erasures/{erasure}", token=token))
        return bool(latest["state"] == state)

    wait(lambda: stands("draining"), 60, every_s=0.2, why=lambda: f"{latest}\n{services.logs}")
    wait(
        lambda: (
            not stands("draining") or any("queue imsg.smtp.bulk" in remain["where"] for remain in latest["remains"])
        ),
        60,
        every_s=0.2,
        why=lambda: f"{latest}\n{services.logs}",
    )
    assert latest["state"] == "draining", "the job of the paused channel has its address still"
    assert "dump of history" not in search(services)
    assert services.call("PATCH", "/api/v2/channels/smtp", {"token": token, "paused": False})["errorCode"] == 0
    wait(lambda: stands("done"), 120, every_s=0.2, why=lambda: f"{latest}\n{services.logs}")

    assert search(services) == []
    assert [mail["to"].lower() for mail in services.received()].count(MAIL.lower()) == 2
    assert {message["to"]: message["status"] for message in services.messages(queued)} == {
        None: "failed",
        OTHER: "sent",
    }


def test_an_emptied_redis_knows_again_who_was_erased(services: Services) -> None:
    valkey = services.valkey
    with redis.Redis.from_url(valkey.url) as client:
        known = client.hkeys("imsg:tombstones")
        assert known
        client.delete("imsg:tombstones")
        wait(lambda: client.hkeys("imsg:tombstones") == known, 60)
