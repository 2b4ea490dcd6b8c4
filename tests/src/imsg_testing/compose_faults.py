"""Kill containers at random, and the deployment that clients see."""

import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Container
from functools import partial
from typing import Any, Self

import httpx

from imsg_channels import CHANNELS
from imsg_testing.compose import Containers
from imsg_testing.fault_clients import FaultTarget
from imsg_testing.inbox import read_heads
from imsg_testing.mailbox import Mailbox

VICTIMS = (
    "gateway",
    "auth",
    "history",
    *(channel.service for channel in CHANNELS),
    "console",
    "caddy",
    "rabbitmq",
    "redis",
    "postgres",
)
"""Every service but the sandbox, which keeps the provider's count in memory."""

BACK_WITHIN_S = 180.0
"""Docker itself waits up to a minute before it starts again what has died often."""


class ContainerDeployment(FaultTarget):
    """The containers as reconciliation asks for them."""

    def __init__(self, containers: Containers) -> None:
        super().__init__(str(containers.client.base_url))
        self.mailbox = Mailbox()  # never opened: the sandbox is the provider here
        self._containers = containers

    @property
    def logs(self) -> str:
        """The end of all logs."""
        return self._containers.compose("logs", "--no-color", "--tail", "15")

    def token(self, username: str = "admin", password: str = "") -> str:
        """Return a token of the administrator, whose password the init step made, or of another user."""
        return self._containers.token if username == "admin" else super().token(username, password)

    def call(self, method: str, path: str, body: Any = None, /, **params: str) -> dict[str, Any]:  # noqa: ANN401
        """Call the API until the edge answers."""
        patience = time.monotonic() + BACK_WITHIN_S
        while True:
            try:
                answer = super().call(method, path, body, **params)
            except (httpx.TransportError, ValueError):
                if time.monotonic() > patience:
                    raise
            else:
                if answer.get("errorCode") != 10012 or time.monotonic() > patience:
                    return answer
            time.sleep(0.5)

    def wait_until_ready(self) -> None:
        """Wait until every container is healthy again by itself."""

        def states() -> dict[str, str]:
            lines = self._containers.compose("ps", "--all", "--format", "json").splitlines()
            return {line["Name"]: line["Health"] or line["State"] for line in map(json.loads, lines)}

        self._containers.wait(lambda: set(states().values()) <= {"healthy", "exited"} and self._runs(), BACK_WITHIN_S)

    def _runs(self) -> bool:
        return all(self._containers.replicas(service) for service in VICTIMS)

    def count_received(self, method: str, of: Container[str]) -> Counter[str]:
        """Count what each of these recipients got, as the provider has it."""
        heads = read_heads(partial(self.call, "GET", token=self.token()), method=method)
        return Counter(head["to"] for head in heads if head["to"] in of)


class Killer:
    """Kills the first process of a random container again and again, as the machine's own kernel would."""

    def __init__(self, containers: Containers, seed: int, pause_s: tuple[float, float]) -> None:
        self.killed: Counter[str] = Counter()
        self._containers = containers
        self._random = random.Random(seed)  # noqa: S311  repeatable by its seed
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, whatever happened."""
        self.stop()

    def stop(self) -> None:
        """Stop killing."""
        self._stopping.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopping.wait(self._random.uniform(*self._pause_s)):
            service = self._random.choice(VICTIMS)
            if running := self._containers.replicas(service):
                kill(self._containers, self._random.choice(sorted(running)))
                self.killed[service] += 1


def kill(containers: Containers, container: str) -> None:
    """Kill the first process of a container. After `docker kill` Docker would not start it again."""
    pid = containers.run("docker", "inspect", "--format", "{{.State.Pid}}", container).strip()
    image = "imsg-gateway"
    inside = ["run", "--rm", "--pid", "host", "--user", "0", "--network", "none", "--entrypoint", "sh", image]
    subprocess.run(["docker", *inside, "-c", f"kill -9 {pid}"], check=False, timeout=60, capture_output=True)
