"""Two gateways behind the edge, one of them frozen: few requests wait, all are answered, none is sent twice."""

import signal
import threading
import time
from dataclasses import dataclass, field

import httpx
import pytest

from imsg_testing.edge import Edge, Names
from imsg_testing.fault import inject_faults
from imsg_testing.services import Plan, Services

pytestmark = pytest.mark.timeout(900)

HOSTS = ("127.0.0.2", "127.0.0.3")
CLIENTS = 8
FOUND_OUT_S = 10.0
FROZEN_S = 40.0
SLOW_S = 5.0
HELD_S = 15.0
"""What only a frozen gateway makes of a wait, and no machine that stands still now and then."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Run two gateways on one port, as replicas have it."""
    return Plan(gateway_hosts=HOSTS)


@dataclass(slots=True)
class Waits:
    """How long clients waited, and since when."""

    taken: list[tuple[float, float]] = field(default_factory=list)
    """When it was asked, and how long it took."""
    unanswered: list[str] = field(default_factory=list)

    def go_on(self, url: str, token: str, stopping: threading.Event) -> None:
        """Call /me over and over, each time on a connection of its own."""
        with httpx.Client(base_url=url, timeout=60, limits=httpx.Limits(max_keepalive_connections=0)) as client:
            while not stopping.is_set():
                began = time.monotonic()
                try:
                    client.get("/api/v2/me", params={"token": token})
                except httpx.TransportError as error:
                    self.unanswered.append(repr(error))
                self.taken.append((began, time.monotonic() - began))
                stopping.wait(0.02)


def test_one_of_two_gateways_frozen(deployment: Services) -> None:
    port = deployment.gateways[0].port
    with Names({"gateway": HOSTS, "console": ()}) as names, Edge(names, port) as edge:
        deployment.edge = edge.url
        waits, stopping = Waits(), threading.Event()
        with inject_faults(deployment) as fault, fault.clients.sending(threads=CLIENTS):
            fault.clients.wait_for(100)
            askers = [
                threading.Thread(target=waits.go_on, args=(edge.url, fault.clients.token, stopping)) for _ in range(4)
            ]
            for asker in askers:
                asker.start()
            frozen = deployment.gateways[1].process
            frozen.pause()
            began = time.monotonic()
            time.sleep(FROZEN_S)
            fault.reconciler.record_restored()
            frozen.signal(signal.SIGCONT)
            stopping.set()
            for asker in askers:
                asker.join(60)
            fault.clients.wait_for(40)
    took = [seconds for asked, seconds in fault.clients.waits if began + FOUND_OUT_S <= asked <= began + FROZEN_S]
    took += [seconds for asked, seconds in waits.taken if began + FOUND_OUT_S <= asked <= began + FROZEN_S]
    slow, held = (sum(seconds > least_s for seconds in took) for least_s in (SLOW_S, HELD_S))
    assert len(took) > 100  # of which one may be held
    assert held <= len(took) / 100, f"{held} of {len(took)} waited over {HELD_S:.0f} s"
    assert not waits.unanswered
    fault.report(
        17,
        "One of two gateways frozen",
        f"SIGSTOP of a gateway and its parent for {FROZEN_S:.0f} s, behind Caddy: after {FOUND_OUT_S:.0f} s "
        f"{slow} of {len(took):,} requests waited over {SLOW_S:.0f} s; what it held was answered `outcome_unknown` "
        "and repeated by its clients under the same Idempotency-Key.",
    )
