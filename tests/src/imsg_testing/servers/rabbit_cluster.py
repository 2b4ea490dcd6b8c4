"""A cluster of RabbitMQ's nodes on the loopback, whose nodes can be killed, frozen and cut off."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx

from imsg_testing.servers.epmd import Epmd
from imsg_testing.servers.rabbit import Rabbit, read_shipped
from imsg_testing.servers.server import START_TIMEOUT_S, Startable
from imsg_testing.waiting import wait

NODES = 3
FORM_TIMEOUT_S = 2 * START_TIMEOUT_S


class RabbitCluster(Startable):
    """Three nodes that know each other by their configuration alone, `deploy/rabbitmq/cluster.conf`."""

    def __init__(self) -> None:
        self._epmd = Epmd()
        extra: list[str] = []  # shared by the nodes, and complete before the first of them starts
        self.nodes = tuple(Rabbit(epmd=self._epmd, extra=extra) for _ in range(NODES))
        names = "cluster_formation.classic_config.nodes."
        extra += [line for line in read_shipped("cluster.conf") if not line.startswith(names)]
        extra += [f"{names}{n} = {node.node}" for n, node in enumerate(self.nodes, 1)]

    @property
    def url(self) -> str:
        """An amqp:// URL of all nodes."""
        hosts = ",".join(f"127.0.0.1:{node.amqp_port}" for node in self.nodes)
        ports = ",".join(str(node.management_port) for node in self.nodes)
        return f"amqp://guest:guest@{hosts}/%2F?management_port={ports}"

    def start(self) -> None:
        """Start all nodes at once and return when they are one cluster."""
        self._epmd.start()
        with ThreadPoolExecutor(NODES) as starting:
            list(starting.map(lambda node: node.start(), self.nodes))
        wait(lambda: len(self.running()) == NODES, FORM_TIMEOUT_S)

    def running(self, seen_by: Rabbit | None = None) -> set[str]:
        """Return the running nodes as one of them sees them; none if it does not answer."""
        nodes = ask(seen_by or self.nodes[0], "/nodes") or []
        return {node["name"] for node in nodes if node.get("running")}

    def leader(self, queue: str) -> Rabbit:
        """Find the node that leads a queue. Raises TimeoutError where it has no leader for long."""
        results: list[Rabbit] = []

        def is_known() -> bool:
            for node in self.nodes:
                told = ask(node, f"/queues/%2F/{quote(queue, safe='')}")
                results[:] = [node for node in self.nodes if told and node.node == told.get("leader")]
                if results and results[0].process.runs:
                    return True
            return False

        wait(is_known, START_TIMEOUT_S)
        return results[0]

    def cut_off(self, node: Rabbit) -> None:
        """Separate a node from the others. Clients reach both sides."""
        self._on(node, "erlang:set_cookie(Node, apart), erlang:disconnect_node(Node)")

    def rejoin(self, node: Rabbit) -> None:
        """Reconnect a separated node with the others."""
        self._on(node, "erlang:set_cookie(Node, erlang:get_cookie())")

    def _on(self, node: Rabbit, expression: str) -> None:
        others = ", ".join(f"'{other.node}'" for other in self.nodes if other is not node)
        node.control("eval", f"[begin {expression} end || Node <- [{others}]].")

    def close(self) -> None:
        """End all nodes and remove their data."""
        for node in self.nodes:
            node.close()
        self._epmd.close()


def ask(node: Rabbit, path: str) -> Any:  # noqa: ANN401  the management API's own shapes
    """Return the answer of a node's management API, or None."""
    url = f"http://127.0.0.1:{node.management_port}/api{path}"
    try:
        answer = httpx.get(url, auth=("guest", "guest"), timeout=5, trust_env=False)
    except httpx.HTTPError:
        return None
    return answer.json() if answer.is_success else None
