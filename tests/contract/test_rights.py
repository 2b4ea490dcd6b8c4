"""The rights of each service at Redis and RabbitMQ, on real servers set up as in containers."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from imsg import rights
from imsg_broker.port import Broker, PublishUnknown
from imsg_broker.rabbitmq.address import parse
from imsg_broker.rabbitmq.amqp import Link, LinkLost
from imsg_broker.rabbitmq.broker import connect as connect_rabbit
from imsg_broker.rabbitmq.depth import UNACKED_QUERY
from imsg_channels import METHODS
from imsg_contract.topology import (
    CHANGE,
    ERASED,
    EVENT,
    INBOUND,
    OUTCOME,
    RECEIPT,
    RESCHEDULE,
    SCHEDULE,
    STEPS_S,
    TOMBSTONES,
    Lane,
    Route,
    Topology,
    channel_key,
    job_key,
    suppressed_key,
    user_key,
)
from imsg_runtime import redis
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_testing.brokers import arrivals, depth_is, remove_queues
from imsg_testing.servers import Rabbit, Valkey
from imsg_testing.service_accounts import SERVICES, ServiceAccounts
from imsg_testing.waiting import eventually

PACKAGES = {service: package for package, service in SERVICES.items()}


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the services' passwords."""
    return tmp_path_factory.mktemp("accounts") / "secrets"


def read_all(folder: Path) -> list[str]:
    """Return what each file of a folder holds."""
    return [file.read_text() for file in folder.iterdir()]


@pytest.fixture(scope="module")
def accounts(passwords: Path) -> ServiceAccounts:
    """Make users of this module's own."""
    return ServiceAccounts(passwords)


@pytest.fixture(scope="module")
def valkey_with_users(accounts: ServiceAccounts) -> Iterator[str]:
    """Run a Redis (or Valkey) that knows the services' users."""
    with Valkey() as valkey:
        asyncio.run(accounts.create_at_redis(valkey.url))
        yield valkey.url


@pytest.fixture
async def server(valkey_with_users: str) -> str:
    """Return where that is, with something of everybody in it and nothing that another test wrote."""
    async with redis.connect(valkey_with_users) as everything:
        await everything.call("FLUSHALL")
        await everything.call("HSET", user_key("张三"), "epoch", "1")
        await everything.call("HSET", "imsg:ledger:R/0", "0", "s 1 {}")
        await everything.call("SET", "imsg:wechat:token:wx", "a token of WeChat's")
        await everything.call("SET", "another", "1")
    return valkey_with_users


async def may(accounts: ServiceAccounts, url: str, service: str, *command: str) -> bool:
    """Try a command as a service; False where its rights do not reach."""
    async with redis.connect(accounts.redis_url(PACKAGES[service], url)) as server:
        try:
            await server.call(*command)
        except RedisRefused as refused:
            if "perm" not in str(refused).lower():
                raise
            return False
        return True


@pytest.mark.parametrize("service", rights.SERVICES)
@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("MONITOR",),
        ("SHUTDOWN",),
        ("GET", "another"),
        ("SET", "another", "2"),
        ("EVAL", "return redis.call('GET', 'another')", "0"),
        ("SUBSCRIBE", "x"),
    ],
)
async def test_no_service_may_run_admin_commands_or_touch_other_keys(
    accounts: ServiceAccounts, server: str, service: str, command: tuple[str, ...]
) -> None:
    assert not await may(accounts, server, service, *command)


@pytest.mark.parametrize("service", rights.SERVICES)
async def test_only_auth_writes_users_not_even_a_script_of_others_does(
    accounts: ServiceAccounts, server: str, service: str
) -> None:
    key = user_key("张三")
    script = "return redis.call('HSET', KEYS[1], 'role', 'admin')"
    direct = await may(accounts, server, service, "HSET", key, "role", "admin")
    by_script = await may(accounts, server, service, "EVAL", script, "1", key)

    assert (direct, by_script) == ((service == "auth"), (service == "auth"))


@pytest.mark.parametrize("service", rights.SERVICES)
async def test_a_service_reads_what_is_its_own_business(accounts: ServiceAccounts, server: str, service: str) -> None:
    reads = {
        name
        for name, command in {
            "users": ("HGETALL", user_key("张三")),
            "claims": ("HGETALL", "imsg:ledger:R/0"),
            "WeChat's token": ("GET", "imsg:wechat:token:wx"),
        }.items()
        if await may(accounts, server, service, *command)
    }

    assert reads == {
        "gateway": {"users"},
        "auth": {"users"},
        "history": {"claims"},
        "callbacks": set(),
        "catalog": set(),
        "scheduler": {"users", "claims"},
        "sender-wechat": {"claims", "WeChat's token"},
    }.get(service, {"claims"})


@pytest.mark.parametrize("service", rights.SERVICES)
async def test_a_sender_writes_the_state_of_its_own_channel_alone(
    accounts: ServiceAccounts, server: str, service: str
) -> None:
    written = {
        method
        for method in METHODS
        if await may(accounts, server, service, "HSET", channel_key(method), "state", "open")
    }

    everything = set(METHODS)
    own = {service.removeprefix("sender-")} & everything
    assert written == (everything if service == "gateway" else own)


@pytest.mark.parametrize("service", rights.SERVICES)
async def test_only_history_buries(accounts: ServiceAccounts, server: str, service: str) -> None:
    assert await may(accounts, server, service, "HSET", TOMBSTONES, "digest", "1 x") == (service == "history")


@pytest.mark.parametrize("service", rights.SERVICES)
async def test_only_services_that_erase_by_themselves_write_their_progress(
    accounts: ServiceAccounts, server: str, service: str
) -> None:
    erases = service in ("callbacks", "catalog", "scheduler", "sender-wechat")

    assert await may(accounts, server, service, "HSET", ERASED, "x", "1") == erases


@pytest.mark.parametrize("service", rights.SERVICES)
async def test_only_the_catalog_suppresses_and_a_sender_sees_its_own_channel_s_alone(
    accounts: ServiceAccounts, server: str, service: str
) -> None:
    key, field = suppressed_key("smtp"), "a@example.com"
    written = await may(accounts, server, service, "HSET", key, field, "[]")
    lifted = await may(accounts, server, service, "HDEL", key, field)
    read = await may(accounts, server, service, "HMGET", key, field)

    assert (written, lifted) == ((service == "catalog"),) * 2
    assert read == (service in ("catalog", "gateway", "sender-smtp"))


async def test_every_connection_needs_a_password(tmp_path: Path, passwords: Path, accounts: ServiceAccounts) -> None:
    """The file itself, as the container gives it to its server."""
    file = tmp_path / "users.acl"
    file.write_text(rights.acl(passwords))
    with Valkey(aclfile=file) as valkey:
        async with redis.connect(valkey.url) as nobody:
            with pytest.raises(RedisUnavailable, match="authenticated"):
                await nobody.call("GET", "x")
        async with redis.connect(accounts.redis_url("imsg_gateway", valkey.url)) as gateway:
            assert await gateway.call("PING") in (b"PONG", "PONG", True)
    assert not any(secret in file.read_text() for secret in read_all(passwords))


async def test_what_a_script_has_written_outlives_a_restart(
    tmp_path: Path, passwords: Path, accounts: ServiceAccounts
) -> None:
    """A log of several writes at once is replayed with the rights of the default user, which has no log-in."""
    file = tmp_path / "users.acl"
    file.write_text(rights.acl(passwords))
    script = "redis.call('HSET', KEYS[1], 'hour', 1) redis.call('HINCRBY', KEYS[1], 'day', 1)"
    with Valkey(aclfile=file) as valkey:
        url = accounts.redis_url("imsg_gateway", valkey.url)
        async with redis.connect(url) as gateway:
            await gateway.call("EVAL", script, "1", "imsg:used:one")
        valkey.restart()
        async with redis.connect(url) as gateway:
            assert await gateway.call("HGET", "imsg:used:one", "day") == b"1"
        async with redis.connect(valkey.url.replace("redis://", "redis://default:@", 1)) as nobody:
            with pytest.raises(RedisUnavailable):
                await nobody.call("GET", "x")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rabbit, ServiceAccounts]]:
    """Run a RabbitMQ that knows the services' users."""
    users = ServiceAccounts(tmp_path_factory.mktemp("users") / "secrets")
    with Rabbit() as rabbit:
        users.create_at_rabbit(rabbit.url)
        yield rabbit, users


@asynccontextmanager
async def speaking(node: tuple[Rabbit, ServiceAccounts], service: str) -> AsyncIterator[Broker]:
    """Yield a ready broker of a service at the node."""
    rabbit, users = node
    async with connect_rabbit(users.rabbit_url(PACKAGES[service], rabbit.url), Topology(methods=METHODS)) as broker:
        await ready(broker)
        yield broker


@pytest.mark.parametrize("service", ["gateway", "history", "callbacks", "catalog"])
def test_who_has_the_tag_is_told_by_the_management_api_what_waits(
    node: tuple[Rabbit, ServiceAccounts], service: str
) -> None:
    rabbit, users = node
    address = parse(users.rabbit_url(PACKAGES[service], rabbit.url))
    told = httpx.get(
        address.management(address.hosts[0]), params=UNACKED_QUERY, auth=(address.username, address.password)
    )
    assert (told.status_code, type(told.json())) == (200, list)


async def ready(broker: Broker) -> None:
    """Wait until a broker is."""

    async def is_ready() -> bool:
        return broker.ready

    await eventually(is_ready, 60)


async def test_history_declares_and_everybody_else_finds(node: tuple[Rabbit, ServiceAccounts]) -> None:
    rabbit, users = node
    await remove_queues(rabbit.url, "imsg.*")
    async with connect_rabbit(users.rabbit_url("imsg_smtp", rabbit.url), Topology(methods=METHODS)) as early:
        assert not early.ready, "nobody has declared yet"
        async with speaking(node, "history"):
            await ready(early)
            for service in ("gateway", "auth", "sender-sms", "sender-wechat"):
                async with speaking(node, service):
                    pass


async def test_a_message_goes_its_whole_way_by_the_rights_of_each(node: tuple[Rabbit, ServiceAccounts]) -> None:
    topology = Topology(methods=METHODS)
    single = topology.queue("smtp", Lane.NORMAL)
    async with (
        speaking(node, "history") as history,
        speaking(node, "gateway") as gateway,
        speaking(node, "auth") as auth,
        speaking(node, "sender-smtp") as sender,
        history.consume(topology.history, 10) as heard,
        sender.consume(single, 10) as jobs,
    ):
        await gateway.publish(b"job", topology.new(job_key("smtp", Lane.NORMAL)))
        (job,) = await arrivals(jobs, 1)
        await depth_is(gateway, single, 1)  # told by the management API
        await depth_is(history, single, 1)
        await sender.publish(b"part", topology.direct(topology.queue("smtp", Lane.BULK)))
        await sender.delay(single, b"later", STEPS_S[-1])
        await sender.publish(b"outcome", topology.new(OUTCOME))
        await auth.publish(b"change", topology.new(CHANGE))
        await history.publish(b"again", topology.direct(single))
        (again,) = await arrivals(jobs, 1)
        await sender.dead_letter(again, "why not")
        await sender.ack(job)
        keys = [event.key for event in await arrivals(heard, 4)]
        assert keys == ["job.smtp.normal", "outcome", "change", "dead"]


@pytest.mark.parametrize(
    ("service", "route"),
    [
        ("gateway", Topology(methods=METHODS).new(OUTCOME)),
        ("gateway", Topology(methods=METHODS).new("dead")),
        ("gateway", Topology(methods=METHODS).direct("imsg.smtp.normal")),
        ("auth", Topology(methods=METHODS).new(job_key("sms", Lane.NORMAL))),
        ("auth", Topology(methods=METHODS).new(job_key("smtp", Lane.PRIORITY))),
        ("auth", Topology(methods=METHODS).direct("imsg.history")),
        ("sender-smtp", Topology(methods=METHODS).new(job_key("sms", Lane.NORMAL))),
        ("sender-smtp", Topology(methods=METHODS).new(CHANGE)),
        ("sender-sms", Topology(methods=METHODS).new(CHANGE)),
        ("history", Topology(methods=METHODS).new(OUTCOME)),
        ("gateway", Topology(methods=METHODS).new(EVENT)),
        ("sender-smtp", Topology(methods=METHODS).new(EVENT)),
        ("auth", Topology(methods=METHODS).suppressions),
        ("gateway", Topology(methods=METHODS).suppressions),
        *(
            (service, Topology(methods=METHODS).new(key))
            for service in ("callbacks", "catalog")
            for key in (job_key("smtp", Lane.NORMAL), OUTCOME, RECEIPT, INBOUND, EVENT)
        ),
        ("callbacks", Topology(methods=METHODS).suppressions),
        ("catalog", Topology(methods=METHODS).direct("imsg.history")),
        *(("scheduler", Topology(methods=METHODS).new(key)) for key in (SCHEDULE, RECEIPT, EVENT)),
        ("sender-smtp", Topology(methods=METHODS).new(SCHEDULE)),
        ("gateway", Topology(methods=METHODS).new(RESCHEDULE)),
    ],
)
async def test_no_service_publishes_another_services_messages(
    node: tuple[Rabbit, ServiceAccounts], service: str, route: Route
) -> None:
    async with speaking(node, "history"), speaking(node, service) as broker:
        with pytest.raises(PublishUnknown, match="ACCESS_REFUSED"):
            await broker.publish(b"not mine", route)


@pytest.mark.parametrize(
    ("service", "queue"),
    [
        ("gateway", "imsg.history"),
        ("auth", "imsg.smtp.normal"),
        ("sender-smtp", "imsg.sms.normal"),
        ("sender-smtp", "imsg.history"),
        ("sender-sms", "imsg.wechat.bulk"),
        ("sender-wechat", "imsg.smtp.normal.retry.10"),
        ("sender-smtp", "imsg.callbacks"),
        ("gateway", "imsg.catalog"),
        ("callbacks", "imsg.history"),
        ("callbacks", "imsg.catalog"),
        ("callbacks", "imsg.smtp.normal"),
        ("catalog", "imsg.callbacks"),
        ("catalog", "imsg.history"),
        ("catalog", "imsg.sms.priority"),
        ("scheduler", "imsg.smtp.normal"),
        ("scheduler", "imsg.history"),
        ("gateway", "imsg.schedule"),
    ],
)
async def test_no_service_consumes_another_services_queue(
    node: tuple[Rabbit, ServiceAccounts], service: str, queue: str
) -> None:
    rabbit, users = node
    async with speaking(node, "history"):
        await _consume_refused(users.rabbit_url(PACKAGES[service], rabbit.url), queue)


async def _consume_refused(url: str, queue: str) -> None:
    """Consume as RabbitMQ itself would have it, past what our consumers look at before."""
    address = parse(url)
    link = Link(address.hosts[0])
    await link.open(address, "a stranger in our clothes")
    try:
        channel = await link.channel()
        with pytest.raises(LinkLost, match="ACCESS_REFUSED"):
            await channel.consume(queue, 1, lambda *_: None, lambda: None)
    finally:
        await link.close()


def test_what_is_sent_to_rabbitmq_holds_no_password(tmp_path: Path) -> None:
    ServiceAccounts(tmp_path)
    told = rights.definitions(tmp_path)

    assert {user["name"] for user in json.loads(told)["users"]} == {f"imsg-{name}" for name in rights.SERVICES}
    assert not any(secret.read_text() in told for secret in tmp_path.iterdir())
