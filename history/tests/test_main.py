"""The service whole, on SQLite and Redis Streams: its URLs, who may use them, and what it says when parts are away."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, SecretStr

from imsg_contract.topology import DEAD
from imsg_contract.wire import Status
from imsg_history import database
from imsg_history.main import Settings, app
from imsg_history.schemas import DeadAnswer, DeadListAnswer, QueryAnswer, StatsAnswer
from imsg_runtime.settings import StartError
from imsg_testing.brokers import open_ready
from imsg_testing.callers import user
from imsg_testing.history import job, make_delivery, outcome
from imsg_testing.servers import Valkey
from imsg_testing.waiting import eventually
from imsg_web.callers import Caller
from imsg_web.service import Service
from imsg_web.service_client import Peer, connect

KEY = (SecretStr("key"),)
ADMIN = user("admin", role="admin")
OWNER = user()
WITHIN_S = 60.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for the database: a machine that stands still for seconds has not lost it."""
    monkeypatch.setattr(database, "QUERY_TIMEOUT_S", WITHIN_S)


@pytest.fixture(scope="module")
def broker_url() -> Iterator[str]:
    """Yield the URL of a Valkey of this module's own: the names at its broker are the real ones."""
    with Valkey() as valkey:
        yield valkey.url


@pytest.fixture
async def service(tmp_path: Path, broker_url: str) -> AsyncIterator[Service]:
    """Run the service."""
    url = f"sqlite:///{tmp_path}/data/history.db"
    made = app(Settings(database_url=url, broker_url=broker_url, service_key=KEY))
    async with made.running():
        await eventually(lambda: _is_ready(made), WITHIN_S)
        yield made


async def _is_ready(service: Service) -> bool:
    return service.unmet() == []


@asynccontextmanager
async def peer(service: Service) -> AsyncIterator[Peer]:
    """Speak to it as the gateway does."""
    async with connect("http://history", KEY, {"history": service}) as opened:
        yield opened


async def get(service: Service, path: str, caller: Caller | None = OWNER, **params: str) -> httpx.Response:
    """Return the answer of a URL."""
    async with peer(service) as opened:
        headers = {"accept-language": "en"}
        return await opened.call("GET", path, caller=caller, params=params, headers=headers, timeout_s=WITHIN_S)


async def publish(broker_url: str, *published: BaseModel, **headers: str) -> None:
    """Publish as the gateway and the senders do, or as dead."""
    async with open_ready(broker_url) as broker:
        for published_body in published:
            delivery = make_delivery(published_body, DEAD if headers else None)
            await broker.publish(delivery.body, broker.topology.new(delivery.key), headers)


async def shows(service: Service, path: str, caller: Caller, count: int, **params: str) -> Mapping[str, Any]:
    """Wait until a listing has so many entries; return its answer."""
    answer: dict[str, Any] = {}

    async def holds() -> bool:
        answer.update((await get(service, path, caller, **params)).json())
        return len(answer.get("messages", answer.get("dead", ()))) == count

    await eventually(holds, WITHIN_S)
    return answer


async def test_a_request_shows_to_its_owner_and_to_an_administrator_within_a_second(
    service: Service, broker_url: str
) -> None:
    accepted_job = job(to=("a@example.com", "b@example.com"))
    await publish(broker_url, accepted_job, outcome(accepted_job, Status.SENT, 1))
    answer = await shows(service, "/api/query", OWNER, 1, id=accepted_job.request, status="sent")
    QueryAnswer.model_validate(answer)
    answer = await shows(service, "/api/query", ADMIN, 1, id=f"{accepted_job.request}-1")
    shape = QueryAnswer.model_validate(answer)
    assert shape.messages[0].timeline is not None
    assert (await get(service, "/api/query", user("other"), id=accepted_job.request)).json()["messages"] == []


async def test_stats_answer_in_their_shape(service: Service, broker_url: str) -> None:
    accepted_job = job(username="计数")
    await publish(broker_url, accepted_job)
    await shows(service, "/api/query", ADMIN, 1, username="计数")
    answer = (await get(service, "/api/stats", ADMIN, username="计数", bucket="hour")).json()
    counted = StatsAnswer.model_validate(answer)
    assert (counted.timezone, len(counted.buckets)) == ("Asia/Shanghai", 25)
    assert sum(bucket.counts.get("smtp", {}).get("queued", 0) for bucket in counted.buckets) == 1
    assert [(user.username, user.method, user.messages) for user in counted.users] == [("计数", "smtp", 1)]


async def test_dead_letters_are_the_administrators_alone(service: Service, broker_url: str) -> None:
    accepted_job = job()
    await publish(broker_url, accepted_job, reason="broke the worker 3 times", queue="imsg.smtp.single")
    answer = await shows(service, "/api/dead", ADMIN, 1)
    (letter,) = DeadListAnswer.model_validate(answer).dead
    whole = DeadAnswer.model_validate((await get(service, f"/api/dead/{letter.id}", ADMIN)).json())
    assert whole.request == accepted_job.request
    draft = (await get(service, f"/internal/resend/{letter.id}", ADMIN, uncertain="0")).json()
    assert [recipient["n"] for recipient in draft["recipients"]] == [0]
    for path in ("/api/dead", f"/api/dead/{letter.id}", f"/internal/dead/{letter.id}"):
        refusal = await get(service, path, OWNER)
        assert (refusal.status_code, refusal.json()["reason"]) == (403, "no_right")
    assert (await get(service, "/api/dead/none", ADMIN)).json()["reason"] == "not_found"


async def test_attachments_go_in_and_out_byte_for_byte(service: Service) -> None:
    body = bytes(range(256)) * 4_000
    path = f"/internal/attachments/{job().request}/{hashlib.sha256(body).hexdigest()}"
    params = {"expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    async with peer(service) as opened:
        assert (await opened.call("GET", path, timeout_s=WITHIN_S)).status_code == 404
        assert (await opened.call("PUT", path, content=body[1:], params=params, timeout_s=WITHIN_S)).status_code == 400
        assert (await opened.call("PUT", path, content=body, timeout_s=WITHIN_S)).json()["errorCode"] == 10002
        for _ in range(2):
            assert (await opened.call("PUT", path, content=body, params=params, timeout_s=WITHIN_S)).status_code == 200
        assert (await opened.call("GET", path, timeout_s=WITHIN_S)).content == body
        huge = await opened.call("PUT", path, content=b"x" * (16 * 1024 * 1024 + 1), params=params, timeout_s=WITHIN_S)
        assert huge.status_code == 413


async def test_a_call_without_the_service_key_is_refused(service: Service) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://history") as stranger:
        for path in ("/api/query", "/api/stats", "/api/dead", "/internal/resend/x", "/internal/attachments/x/y"):
            answer = await stranger.get(path, headers={"x-imsg-caller": "admin", "x-imsg-role": "admin"})
            assert (answer.status_code, answer.json()["reason"]) == (403, "no_right")


async def test_a_service_call_without_a_user_reads_no_messages(service: Service) -> None:
    assert (await get(service, "/api/query", None)).json()["reason"] == "token_missing"


async def test_a_wrong_filter_answers_400_in_the_language_asked_for(service: Service) -> None:
    answer = await get(service, "/api/query", limit="many")
    assert (answer.status_code, answer.json()["errorCode"]) == (400, 10017)
    assert answer.json()["detail"] == "limit is not right: it must be a whole number from 1 to 500."


async def test_unknown_urls_answer_in_the_public_shape(service: Service) -> None:
    assert (await get(service, "/api/query/")).json()["errorCode"] == 10001
    async with peer(service) as opened:
        assert (await opened.call("POST", "/api/query", caller=OWNER)).status_code == 405


def test_a_wrong_setting_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="IMSG_DATABASE_URL must begin with sqlite:/// or postgresql://"):
        app(Settings(database_url="mysql://x/y", service_key=KEY))
    with pytest.raises(StartError, match="IMSG_SERVICE_KEY is not set"):
        app(Settings(database_url=f"sqlite:///{tmp_path}/h.db", service_key=()))


async def test_a_file_that_cannot_be_made_is_one_clear_line(tmp_path: Path, broker_url: str) -> None:
    (tmp_path / "file").write_text("")
    made = app(Settings(database_url=f"sqlite:///{tmp_path}/file/h.db", broker_url=broker_url, service_key=KEY))
    with pytest.raises(StartError, match="IMSG_DATABASE_URL"):
        async with asyncio.timeout(WITHIN_S), made.running():
            pass
