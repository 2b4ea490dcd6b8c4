"""Events are recorded with the change of their message and published after the commit."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from imsg_broker.port import Broker, PublishRefused
from imsg_contract.topology import EVENT, Route, Topology
from imsg_contract.wire import Event, EventKind, Events, Job, Status
from imsg_history import event_relay
from imsg_history.database import Database
from imsg_history.event_relay import EventRelay
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, outcome, receipt
from imsg_testing.history_store import record

USER = "0199" + "c" * 28
ALL = int(EventKind.MESSAGE | EventKind.REQUEST)


class Listening:
    """The part of a broker that a relay uses; away while `is_away`."""

    topology = Topology(methods=("smtp",))

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.is_away = False

    async def publish(self, body: bytes, route: Route, headers: object = None) -> None:
        """Record published events."""
        del headers
        if self.is_away:
            raise PublishRefused("away")
        assert route == self.topology.new(EVENT)
        self.heard += Events.model_validate_json(body).events

    @property
    def ids(self) -> list[str]:
        """What each event is and of which message."""
        return [f"{event.type} {event.id.rpartition('evt_')[2][33:]}" for event in self.heard]


def make_wanted(**given: object) -> Job:
    """Return a job whose user has subscribed to its events."""
    return job(**{"events": ALL, "user_id": USER, "reference": "订单-7", "key": "图书馆", "at": NOW, **given})


def relay_to(database: Database, broker: Listening) -> EventRelay:
    """Make a relay."""
    told: Broker = broker  # type: ignore[assignment]
    return EventRelay(database, told, event_relay.RelayMetrics(CollectorRegistry()))


@on_both_databases
async def test_every_change_is_published_once_and_a_request_when_it_has_settled(database: Database) -> None:
    broker = Listening()
    relay = relay_to(database, broker)
    mine, others = make_wanted(to=("li@example.com", "wang@example.com")), job(at=NOW)
    sent = outcome(mine, Status.SENT, provider_id="m-1")
    await record(database, mine, others, outcome(others, Status.SENT))
    await record(database, outcome(mine, Status.RETRYING, code="451", detail="busy"))
    assert await relay.relay() == 0
    await record(database, outcome(mine, Status.SENT, provider_id="m-1", attempt=2))
    await record(database, outcome(mine, Status.SENT, provider_id="m-1", attempt=2), sent)  # again, and late
    await relay.relay()
    assert broker.ids == ["message.sent 0-3"]
    await record(database, receipt(sent, "li@example.com"))
    await record(database, outcome(mine, Status.FAILED, n=1, code="550", detail="no such user"))
    await relay.relay()
    assert broker.ids[1:] == ["message.delivered 0-4", "message.failed 1-2", "request.settled settled"]
    failed, settled = broker.heard[2], broker.heard[3]
    assert failed.data | {"request": "", "id": ""} == {
        "id": "",
        "request": "",
        "reference": "订单-7",
        "key": "图书馆",
        "test": False,
        "leg": None,
        "leg_of": None,
        "to": "wang@example.com",
        "method": "smtp",
        "status": "failed",
        "seq": 2,
        "attempts": 1,
        "provider": "mail.example.com",
        "provider_id": None,
        "error": {"code": "550", "detail": "no such user"},
    }
    assert (failed.user_id, failed.address) == (USER, "wang@example.com")
    assert settled.data["counts"] == {"delivered": 1, "failed": 1}
    assert await relay.relay() == 0


@on_both_databases
async def test_an_outcome_that_came_before_its_job_is_published_with_it(database: Database) -> None:
    broker = Listening()
    mine = make_wanted(events=int(EventKind.MESSAGE))
    await record(database, outcome(mine, Status.SENT, provider_id="m-2"))
    await record(database, mine)
    await relay_to(database, broker).relay()
    assert broker.ids == ["message.sent 0-1"]


async def test_a_broker_that_is_away_costs_no_event(database: Database) -> None:
    broker = Listening()
    relay = relay_to(database, broker)
    broker.is_away = True
    await record(database, mine := make_wanted(), outcome(mine, Status.EXPIRED, code="expired"))
    with pytest.raises(PublishRefused):
        await relay.relay()
    broker.is_away = False
    await asyncio.gather(relay.relay(), relay_to(database, broker).relay())
    assert set(broker.ids) == {"message.expired 0-1", "request.settled settled"}


async def test_a_user_who_was_written_to_by_name_is_not_given_away(database: Database) -> None:
    broker = Listening()
    mine = make_wanted(to=("王芳",), addresses=("wang@example.com",))
    await record(database, mine, outcome(mine, Status.FAILED, code="550", detail="<wang@example.com> unknown"))
    await relay_to(database, broker).relay()
    assert broker.heard[0].data["to"] == "王芳"
    assert "wang@example.com" not in str(broker.heard[0].data)
