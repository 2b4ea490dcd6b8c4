"""What an intruder in one service can reach, read and do."""

import pytest

from imsg_channels import CHANNELS
from imsg_runtime.settings import CALLERS
from imsg_testing.compose import UP_TIMEOUT_S, Containers

pytestmark = pytest.mark.timeout(1_200)

PORTS = {
    "gateway": 8000,
    "auth": 8000,
    "history": 8000,
    "catalog": 8000,
    "scheduler": 8000,
    "callbacks": 8000,
    "console": 8000,
    "sandbox": 8000,
    **{channel.service: 8000 for channel in CHANNELS},
    "rabbitmq": 5672,
    "redis": 6379,
    "postgres": 5432,
}

BROKERS = {"rabbitmq", "redis"}
FOLLOWERS = "sender-wechat"
"""The senders that the gateway asks for followers of official accounts; it asks auth for their users."""

SENDERS = {channel.service for channel in CHANNELS}

ASKED = {"gateway", "auth", "history", "catalog", "scheduler", "callbacks"}

REACHED = {
    "gateway": {*ASKED, "console", "sandbox", *SENDERS, *BROKERS},
    "auth": {*ASKED, FOLLOWERS, "postgres", *BROKERS},
    "history": {*ASKED, "postgres", *SENDERS, *BROKERS},
    "catalog": {*ASKED, "console", "sandbox", "postgres", *SENDERS, *BROKERS},
    "callbacks": {*ASKED, FOLLOWERS, "postgres", *BROKERS},
    **{
        sender: {"gateway", "console", "sandbox", "catalog", "history", *SENDERS, *BROKERS}
        | ({"auth", "callbacks", "postgres"} if sender == FOLLOWERS else set())
        for sender in SENDERS
    },
    "console": {"gateway", "sandbox", "catalog", *SENDERS},
    "sandbox": {"gateway", "console", "catalog", *SENDERS},
}
"""The connections that each service can open: those that it needs, and those to others of the same networks."""

TRIED = """
import socket, sys
for name, port in (word.split(":") for word in sys.argv[1:]):
    try:
        socket.create_connection((name, int(port)), 3).close()
        print(name)
    except OSError:
        pass
"""

CALLED = """
import pathlib, sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen
key = pathlib.Path("/run/imsg/service_key").read_text()
for path in sys.argv[1:]:
    try:
        print(urlopen(Request(f"http://history:8000{path}", headers={"x-imsg-key": key}), timeout=10).status)
    except HTTPError as error:
        print(error.code)
"""


@pytest.mark.parametrize("service", REACHED)
def test_a_container_reaches_those_it_shares_its_work_with_and_no_others(containers: Containers, service: str) -> None:
    words = [f"{name}:{port}" for name, port in PORTS.items() if name != service]
    reached = containers.compose("exec", "-T", service, "python", "-Ic", TRIED, *words)

    assert set(reached.split()) == REACHED[service] - {service}


def test_no_sender_but_the_followers_owner_reaches_auth_not_even_by_its_address(containers: Containers) -> None:
    """A network is missing, not only a name. sender-wechat asks auth whose contact a tag is, by three routes."""
    addresses = [where["IPAddress"] for where in containers.inspect("auth")["NetworkSettings"]["Networks"].values()]
    for sender in SENDERS - {FOLLOWERS}:
        words = [f"{address}:8000" for address in addresses]
        assert containers.compose("exec", "-T", sender, "python", "-Ic", TRIED, *words).split() == []


def test_each_has_keys_and_passwords_that_no_other_has(containers: Containers) -> None:
    services = ("gateway", "auth", "history", "callbacks", *SENDERS)
    for name in ("rabbit_password", "redis_password"):
        assert len({containers.secret(service, name) for service in services}) == len(services)
    of_its_own = [service for service in CALLERS if service != "scheduler"]
    callers = {service: containers.secret(service, "service_key") for service in of_its_own}
    callers["scheduler"] = containers.secret("catalog", "scheduler/service_key")
    assert len(set(callers.values())) == len(CALLERS)
    for caller, key in callers.items():
        called = "auth" if caller == "callbacks" else "history"
        assert key == containers.secret(called, f"{caller.replace('-', '_')}_key")


def test_a_sender_s_key_opens_attachments_alone(containers: Containers) -> None:
    paths = ("/internal/attachments/none/none", "/internal/resend/none", "/api/query", "/api/dead")
    output = containers.compose("exec", "-T", "sender-smtp", "python", "-Ic", CALLED, *paths).split()

    assert output == ["404", "403", "403", "403"]


def test_redis_refuses_a_connection_without_a_password(containers: Containers) -> None:
    command = "redis-cli set x y; redis-cli get x; redis-cli --user imsg acl users"
    output = containers.compose("exec", "-T", "redis", "sh", "-c", command)

    assert output.count("NOAUTH") == 3


def test_what_was_written_to_redis_outlives_its_restart(containers: Containers) -> None:
    """Limits and claims are written by scripts, several writes at once: played back as a whole, or not at all."""

    def read_counted() -> str:
        password = 'REDISCLI_AUTH="$(cat /run/imsg/redis_password)"'
        command = f"{password} redis-cli --user imsg --raw hmget imsg:replay:kept one two"
        return containers.compose("exec", "-T", "redis", "sh", "-c", command)

    script = "redis.call('HSET', KEYS[1], 'one', 1) redis.call('HSET', KEYS[1], 'two', 2)"
    command = f'redis-cli --user imsg-gateway eval "{script}" 1 imsg:replay:kept'
    password = containers.secret("gateway", "redis_password")
    containers.compose("exec", "-T", "--env", f"REDISCLI_AUTH={password}", "redis", "sh", "-c", command)
    assert read_counted().split() == ["1", "2"]

    containers.compose("restart", "redis")
    containers.compose("up", "--detach", "--wait", "--no-build", timeout_s=UP_TIMEOUT_S)

    assert read_counted().split() == ["1", "2"]
    assert "CRITICAL" not in containers.compose("logs", "--since", "1m", "redis")
