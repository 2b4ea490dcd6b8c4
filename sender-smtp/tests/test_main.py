"""The service whole: a job at the broker becomes a mail at the server and an outcome for history."""

import asyncio
from collections.abc import Iterator, Sequence

import httpx
import pytest
from pydantic import SecretStr

from imsg_broker.port import Broker
from imsg_contract.suppressions import Suppression
from imsg_contract.topology import OUTCOME, job_key
from imsg_contract.wire import Job, Outcome, Outcomes, Recipient, Status
from imsg_smtp.main import app
from imsg_smtp.settings import Settings, Smtp
from imsg_testing.brokers import open_ready
from imsg_testing.jobs import make_job
from imsg_testing.sentinels import follow
from imsg_testing.servers import Valkey
from imsg_testing.smtp_server import SmtpServer, smtp_server
from imsg_web.service import Service

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """Yield the URL of a Valkey of this module's own: the names at its broker are the real ones."""
    with Valkey() as valkey:
        yield valkey.url


def service(redis_url: str, server: SmtpServer, claims_url: str | None = None) -> Service:
    smtp = Smtp(host=server.host, port=server.port, sender="noreply@example.com", connections=4)
    return app(
        Settings(
            smtp=smtp,
            history_url="http://127.0.0.1:1",
            broker_url=redis_url,
            redis_url=claims_url or redis_url,
            service_key=(SecretStr("key"),),
        )
    )


def job(recipients: int) -> Job:
    return make_job(*(f"user{n}@example.com" for n in range(recipients)))


async def outcomes_of(broker: Broker, made: Job) -> Sequence[Outcome]:
    """Send a job, and listen as history does until all its recipients have settled."""
    settled: dict[int, Outcome] = {}
    async with asyncio.timeout(WITHIN_S), broker.consume(broker.topology.history, 10) as deliveries:
        await broker.publish(made.encode(), broker.topology.new(job_key("smtp", made.lane)))
        async for delivery in deliveries:
            if delivery.key == OUTCOME:
                for outcome in Outcomes.model_validate_json(delivery.body).outcomes:
                    if outcome.request == made.request and outcome.status is not Status.RETRYING:
                        settled[outcome.n] = outcome
            await broker.ack(delivery)
            if len(settled) == len(made.recipients):
                break
    return [settled[n] for n in sorted(settled)]


async def test_a_job_becomes_a_mail_and_an_outcome(redis_url: str) -> None:
    async with smtp_server() as server, service(redis_url, server).running(), open_ready(redis_url) as broker:
        made = job(1)
        (outcome,) = await outcomes_of(broker, made)
        assert outcome.status is Status.SENT
        assert outcome.provider == "smtp"
        assert outcome.provider_id == "Q000001"
        assert server.mails[0].recipients == ("user0@example.com",)


async def test_a_list_reaches_everybody_once_over_the_connections_that_are_set(redis_url: str) -> None:
    async with smtp_server() as server, service(redis_url, server).running(), open_ready(redis_url) as broker:
        outcomes = await outcomes_of(broker, job(230))
        assert {outcome.status for outcome in outcomes} == {Status.SENT}
        assert len(server.mails) == 230
        assert len({received.recipients for received in server.mails}) == 230
        assert server.sessions <= 4 + 230 // 100


async def test_a_refused_recipient_fails_with_the_servers_own_words(redis_url: str) -> None:
    replies = {"RCPT": "550 5.1.1 <user0@example.com>: no such user"}
    async with smtp_server(replies) as server, service(redis_url, server).running(), open_ready(redis_url) as broker:
        (outcome,) = await outcomes_of(broker, job(1))
        assert outcome.status is Status.FAILED
        assert outcome.code == "550 5.1.1"
        assert outcome.detail == "5.1.1 <user0@example.com>: no such user"


NOT_FOUND = "550 Mailbox not found. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000728"
"""QQ's, which has no enhanced code."""


async def test_only_an_unknown_address_is_published_to_the_catalog(redis_url: str) -> None:
    replies = {"RCPT": ["550 5.2.2 mailbox full", "550 5.1.1 no such user", "250 ok", "550 User suspended", NOT_FOUND]}
    people = [Recipient(n=n, to=f"{n}@tiancun.cn", address=f"{n}@tiancun.cn") for n in range(5)]
    async with smtp_server(replies) as server, service(redis_url, server).running(), open_ready(redis_url) as broker:
        made = [job(1).model_copy(update={"recipients": (person,)}) for person in people]
        for made_mail in made:
            await outcomes_of(broker, made_mail)
        async with asyncio.timeout(WITHIN_S), broker.consume(broker.topology.catalog, 10) as deliveries:
            told = Suppression.model_validate_json((await anext(deliveries)).body)
            by_words = Suppression.model_validate_json((await anext(deliveries)).body)
        assert (by_words.address, by_words.reason, by_words.evidence) == ("4@tiancun.cn", "hard_bounce", NOT_FOUND[4:])
        assert (told.address, told.reason, told.evidence) == ("1@tiancun.cn", "hard_bounce", "5.1.1 no such user")
        assert (told.request, told.n, told.sender, told.category) == (made[1].request, 1, None, None)


async def test_the_service_is_ready_while_its_mail_server_is_away(redis_url: str) -> None:
    async with smtp_server() as server:
        made = service(redis_url, server)
    async with made.running(), httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://smtp") as client:
        async with asyncio.timeout(WITHIN_S):
            while made.unmet():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await client.get("/health/ready")).status_code == 200
        unknown = await client.get("/hooks/smtp/bounces")
        assert unknown.status_code == 404
        assert unknown.json()["errorCode"] == 10001


async def test_the_service_is_not_ready_while_redis_takes_no_writes(redis_url: str) -> None:
    async def unmet(made: Service, wanted: list[str]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while made.unmet() != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    with Valkey() as claims, Valkey() as other:
        async with smtp_server() as server:
            made = service(redis_url, server, claims.url)
        async with made.running():
            await unmet(made, [])
            follow(claims, other)
            await unmet(made, ["redis"])
            follow(claims, None)
            await unmet(made, [])


async def test_the_end_takes_leave_of_the_mail_server(redis_url: str) -> None:
    async with smtp_server() as server:
        async with service(redis_url, server).running(), open_ready(redis_url) as broker:
            await outcomes_of(broker, job(1))
        await server.wait_seen("QUIT")
