"""During an alarm of RabbitMQ the first send is refused at once, with a reason that names the remedy."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from imsg_broker.port import PublishUnknown
from imsg_broker.rabbitmq.alarm_probe import PROBE_S
from imsg_contract.topology import OUTCOME, Topology
from imsg_testing.brokers import READY_WITHIN_S, depth_is, is_so, open_ready
from imsg_testing.gateway import RunningGateway, mail, run_gateway
from imsg_testing.servers import Rabbit
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.long

ALARM, CALM = ("set_vm_memory_high_watermark", "0.00001"), ("set_vm_memory_high_watermark", "0.6")


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Rabbit]:
    """Run a RabbitMQ of this module's own."""
    with Rabbit() as server:
        yield server


@pytest.fixture
async def gateway(rabbit: Rabbit, redis_url: str) -> AsyncIterator[RunningGateway]:
    """Open a gateway before it."""
    async with run_gateway(redis_url, broker_url=rabbit.url) as opened:
        await opened.ready()
        yield opened


async def is_told(gateway: RunningGateway) -> bool:
    """Return whether the gateway knows of the alarm, without a message that met it."""
    return "imsg_broker_blocked 1.0" in (await gateway.client.get("/metrics")).text


@pytest.mark.parametrize(("language", "remedy"), [("zh-CN", "释放内存或磁盘"), ("en", "frees memory or disk")])
async def test_the_first_send_under_a_memory_alarm_is_refused_with_it(
    rabbit: Rabbit, gateway: RunningGateway, language: str, remedy: str
) -> None:
    user, admin = await gateway.user(per_hour=2), await gateway.user("admin", role="admin")
    headers = {"accept-language": language}
    await asyncio.to_thread(rabbit.control, *ALARM)
    try:
        await eventually(lambda: is_told(gateway))
        refused = await gateway.client.post("/api/v2/messages", json=mail(token=user), headers=headers)
        answer = refused.json()
        assert (refused.status_code, answer["errorCode"], answer["reason"]) == (503, 10012, "broker_blocked")
        assert remedy in answer["detail"]
        assert int(refused.headers["retry-after"]) > 0
        listed = await gateway.client.get("/api/v2/channels", params={"token": admin}, headers=headers)
        for channel in listed.json()["channels"]:
            assert channel["state"] == "blocked"
            assert channel["why"].startswith("broker_blocked: ")
            assert remedy in channel["why"]
            assert (type(channel["waiting"]), channel["consumers"]) == (int, 0)
        for token in (user, admin):
            shown = (await gateway.client.get("/api/v2/channels", params={"token": token})).json()["channels"]
            assert all(channel["why"].startswith("broker_blocked: ") for channel in shown)
        metrics = (await gateway.client.get("/metrics")).text
        assert "imsg_ready 0.0" in metrics
    finally:
        await asyncio.to_thread(rabbit.control, *CALM)

    async def is_taken() -> bool:
        return bool((await gateway.send(token=user)).json()["errorCode"] == 0)

    await eventually(is_taken, READY_WITHIN_S)
    assert "imsg_broker_blocked 0.0" in (await gateway.client.get("/metrics")).text


async def test_a_message_that_meets_the_alarm_first_is_unknown_soon_and_comes_about_after_it(
    rabbit: Rabbit, topology: Topology
) -> None:
    """Without a probe: what RabbitMQ has not read yet it reads when the alarm is over, so it was not refused."""
    async with open_ready(rabbit.url, topology) as broker:
        await asyncio.to_thread(rabbit.control, *ALARM)
        try:
            with pytest.raises(PublishUnknown, match="low on memory"):
                await broker.publish(b"job", topology.new(OUTCOME))
            assert await broker.depth(topology.history) == 0
        finally:
            await asyncio.to_thread(rabbit.control, *CALM)
        await is_so(lambda: broker.ready, READY_WITHIN_S)
        await depth_is(broker, topology.history, 1)


async def test_a_probe_leaves_nothing_at_the_broker(gateway: RunningGateway) -> None:
    history = gateway.broker.topology.history
    before = await gateway.broker.depth(history)
    await asyncio.sleep(5 * PROBE_S)
    assert await gateway.broker.depth(history) == before
    assert "imsg_ready 1.0" in (await gateway.client.get("/metrics")).text
