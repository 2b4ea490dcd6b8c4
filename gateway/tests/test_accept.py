"""The three outcomes of a publish, and what is done with the count and the id (promise 1)."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import date
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_channels import BY_NAME, METHODS
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_contract.topology import Route, Topology
from imsg_contract.wire import Recipient
from imsg_gateway.accept import Acceptor
from imsg_gateway.authentication import Authenticator
from imsg_gateway.costs import CostEstimator
from imsg_gateway.credentials import Owner
from imsg_gateway.draft import Draft
from imsg_gateway.next_due import NextDue
from imsg_gateway.provider_reports import Provider
from imsg_gateway.providers import Providers
from imsg_limits.backpressure import Backpressure
from imsg_limits.caps import Caps
from imsg_limits.quota import Quota
from imsg_limits.windows import PublishedWindows
from imsg_runtime.published_prices import PublishedPrices
from imsg_testing.callers import id_of
from imsg_testing.gateway import KEY, RunningGateway
from imsg_testing.quiet_zone import find_quiet_zone
from imsg_web import service_client

Outcome = type[Exception] | None


class Scripted:
    """A broker that answers publishes by a script, its last line for ever; keeps what was published."""

    def __init__(self, *script: Outcome) -> None:
        self.topology = Topology(methods=METHODS)
        self.ready = True
        self.blocked = ""
        self.published: list[bytes] = []
        self._script = list(script)

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next line of the script."""
        del route, headers
        self.published.append(body)
        outcome = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if outcome is not None:
            raise outcome

    async def depth(self, queue: str) -> int:
        """Nothing waits."""
        del queue
        return 0


DRAFT = Draft(
    BY_NAME["smtp"],
    None,
    (Recipient(n=0, to="li@example.com", address="li@example.com"),),
    {"subject": "a", "text": "b"},
)


async def _find_providers(method: str) -> Sequence[Provider]:
    return [{"name": method, "enabled": True, "weight": 1}]


class Bench:
    """Accepting with a scripted broker, on a real quota."""

    def __init__(
        self, run_gateway: RunningGateway, broker: Scripted, history: service_client.Peer, repeat_for_s: float
    ) -> None:
        self._world = run_gateway
        self.broker = broker
        zone = ZoneInfo(find_quiet_zone())
        quota = Quota(run_gateway.redis, zone)
        self.authenticator = Authenticator(quota, history, (KEY,), zone)
        self.quota = quota
        real = cast("Broker", broker)
        providers = Providers(run_gateway.redis, ("smtp",))
        costs = CostEstimator(PublishedPrices(run_gateway.redis), _find_providers, lambda: date(2026, 10, 1))
        self.accepting = Acceptor(
            real,
            history,
            quota,
            Backpressure(real, 10),
            providers,
            caps=Caps(run_gateway.redis, str),
            costs=costs,
            windows=PublishedWindows(run_gateway.redis),
            next_due=NextDue(run_gateway.redis),
            repeat_for_s=repeat_for_s,
        )

    async def count_used(self) -> int:
        """Count what the user has used of this hour."""
        return (await self.quota.read_used("zhang", id_of("zhang"))).hour

    async def accept(self, token: str, request: str, draft: Draft | None = None) -> Mapping[str, object]:
        """Accept the draft; return the answer or the refusal's reason and extra."""
        try:
            accepted = await self.accepting.accept(
                draft or DRAFT,
                self.authenticator.read(token, "127.0.0.1"),
                request,
                Owner("zhang", id_of("zhang")),
                None,
            )
        except Refusal as refusal:
            return {"reason": refusal.reason, **refusal.extra}
        return accepted.answer


@pytest.fixture
async def bench(gateway: RunningGateway) -> AsyncIterator[Callable[..., Bench]]:
    """Make benches on the gateway's Redis."""
    async with service_client.connect("http://history", (), {"history": gateway.history.app}) as history:
        yield lambda *script, repeat_for_s=60.0: Bench(gateway, Scripted(*script), history, repeat_for_s)


async def test_confirmed_is_accepted_and_counted(gateway: RunningGateway, bench: Callable[..., Bench]) -> None:
    token, tried, request = await gateway.user(), bench(None), new_id()
    assert await tried.accept(token, request) == {"id": request, "count": 1, "cost": []}
    assert await tried.count_used() == 1
    assert len(tried.broker.published) == 1


async def test_a_refused_publish_refunds_the_quota_and_answers_not_accepted(
    gateway: RunningGateway, bench: Callable[..., Bench]
) -> None:
    token, tried = await gateway.user(per_hour=1), bench(PublishRefused)
    for _ in range(3):
        assert await tried.accept(token, new_id()) == {"reason": "not_accepted"}
    assert await tried.count_used() == 0
    assert len(tried.broker.published) == 3


async def test_unknown_is_repeated_with_the_same_bytes_until_it_is_confirmed(
    gateway: RunningGateway, bench: Callable[..., Bench]
) -> None:
    token, tried, request = await gateway.user(), bench(PublishUnknown, PublishUnknown, None), new_id()
    assert await tried.accept(token, request) == {"id": request, "count": 1, "cost": []}
    assert len(tried.broker.published) == 3
    assert len(set(tried.broker.published)) == 1
    assert await tried.count_used() == 1


async def test_a_refusal_after_an_unknown_outcome_proves_nothing(
    gateway: RunningGateway, bench: Callable[..., Bench]
) -> None:
    token, tried, request = await gateway.user(), bench(PublishUnknown, PublishRefused, None), new_id()
    assert await tried.accept(token, request) == {"id": request, "count": 1, "cost": []}
    assert len(set(tried.broker.published)) == 1


@pytest.mark.parametrize("later", [PublishUnknown, PublishRefused])
async def test_unknown_to_the_end_gives_the_id_and_nothing_back(
    gateway: RunningGateway, bench: Callable[..., Bench], later: Outcome
) -> None:
    token, tried, request = await gateway.user(), bench(PublishUnknown, later, repeat_for_s=0.4), new_id()
    assert await tried.accept(token, request) == {"reason": "outcome_unknown", "id": request}
    assert await tried.count_used() == 1


async def test_where_history_can_not_keep_the_bytes_nothing_is_published_or_counted(
    gateway: RunningGateway, bench: Callable[..., Bench]
) -> None:
    token = await gateway.user(per_hour=1)
    gateway.history.is_broken = True
    attachment = {"filename": "a.txt", "file": "aGk="}
    for _ in range(2):
        assert (await gateway.send(token=token, attachment=attachment)).json()["reason"] == "not_accepted"
    assert await gateway.waiting() == 0
    assert await bench(None).count_used() == 0


async def test_a_list_too_long_for_one_message_of_the_broker_is_refused(gateway: RunningGateway) -> None:
    token = await gateway.user()
    long = "x" * 60 + "@" + ".".join(["y" * 60] * 3) + "."
    to = [f"{n:04}{long[4:]}com" for n in range(10_000)]
    answer = await gateway.send(token=token, to=to)
    assert answer.json()["errorCode"] == 10011


@pytest.mark.parametrize(("senders", "is_let"), [("*", True), ("alerts,news", True), ("alerts", False), ("", False)])
async def test_a_mail_goes_by_a_sender_of_the_users_alone_and_a_refusal_is_not_counted(
    gateway: RunningGateway, bench: Callable[..., Bench], senders: str, *, is_let: bool
) -> None:
    token, tried = await gateway.user(senders=senders), bench(None, None)
    draft = DRAFT._replace(content={"subject": "x", "text": "y", "sender": "news"})
    said = await tried.accept(token, new_id(), draft)
    assert said.get("reason") == (None if is_let else "may_not_send_by")
    assert await tried.count_used() == int(is_let)
    assert (await tried.accept(token, new_id())).get("reason") is None, "the default sender is everybody's"
