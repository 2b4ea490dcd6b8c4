"""One message while 100,000 bulk ones wait: how long from its POST until it is with the mail server.

Timed: from the first byte of the POST to the moment the mail server has the mail; one message after the other, each
with an address of its own, which the mail server notes with its own clock (the same clock: CLOCK_MONOTONIC).
Gateway, sender and history run. First on the idle system; then ten requests of 10,000 recipients are accepted, and
while the sender is at them the same again. The figure is the ratio of the 99th percentiles.
"""

import json
import time
from pathlib import Path

import httpx

from imsg_bench.counts import Counts
from imsg_bench.deployment import CONTENT, Deployment
from imsg_bench.figures import percentile
from imsg_bench.filling import until
from imsg_bench.measure import Run
from imsg_bench.result import Result, Series

KEY = "H"
TITLE = "One message while 100,000 bulk ones wait"

LIST = 10_000
PATIENCE_S = 60.0
APART_S = 0.02


def measure(run: Run) -> Result:
    """Measure H."""
    with run.deployment() as deployment:
        deployment.auth()
        deployment.history()
        gateway = deployment.gateway()
        port, counts = deployment.sink()
        sender = deployment.mail_sender(port)
        sender.start()
        probes = Probes(deployment, f"{gateway.url}/api/send")
        probes.send(5)  # the first ones open connections
        idle = probes.send(run.scale.probes)
        run.progress.say(f"{KEY}  idle: p50 {percentile(idle, 0.5):.1f} ms, p99 {percentile(idle, 0.99):.1f} ms")
        _fill(deployment, gateway.url, run.scale.waiting, counts)
        busy = probes.send(run.scale.probes)
        left = run.scale.waiting - counts.count
        run.progress.say(f"{KEY}  busy: p50 {percentile(busy, 0.5):.1f} ms, p99 {percentile(busy, 0.99):.1f} ms")
    at = {share: (percentile(idle, share), percentile(busy, share)) for share in (0.5, 0.99)}
    return Result(
        KEY,
        TITLE,
        (
            Series("p99, busy ÷ idle", "", (at[0.99][1] / at[0.99][0],), at_most=3),
            Series("p99, idle", "ms", (at[0.99][0],)),
            Series("p99, busy", "ms", (at[0.99][1],)),
            Series("p50, idle", "ms", (at[0.5][0],)),
            Series("p50, busy", "ms", (at[0.5][1],)),
        ),
        notes=(f"{left:,} bulk messages still waited when the last single one had arrived.",),
    )


def _fill(deployment: Deployment, url: str, waiting: int, counts: Counts) -> None:
    counts.reset()
    for number in range(waiting // LIST):
        people = [f"reader{number}.{one}@example.com" for one in range(LIST)]
        answer = httpx.post(
            f"{url}/api/v2/messages", content=deployment.body(people, "list.json").read_bytes(), timeout=60
        ).json()
        assert answer["errorCode"] == 0, answer  # noqa: S101  a refusal is no measurement
    until(lambda: counts.count > 0, PATIENCE_S, every_s=0.02)


class Probes:
    """Single messages, sent one after the other."""

    def __init__(self, deployment: Deployment, url: str) -> None:
        self._url = url
        self._path: Path = deployment.folder / "probes"
        self._path.touch()
        self._token = deployment.api.token()
        self._number = 0

    def send(self, count: int) -> list[float]:
        """Send so many; return how long each took from its POST to its arrival, in ms."""
        found = []
        with httpx.Client(timeout=60) as client:
            for _ in range(count):
                self._number += 1
                address = f"probe-{self._number}@example.com"
                body = {"token": self._token, "to": address, "method": "smtp", "content": CONTENT}
                content = json.dumps(body, ensure_ascii=False).encode()
                begun = time.monotonic()
                answer = client.post(self._url, content=content).json()
                assert answer["errorCode"] == 0, answer  # noqa: S101
                found.append((self._arrival(address) - begun) * 1e3)
                time.sleep(APART_S)
        return found

    def _arrival(self, address: str) -> float:
        until(lambda: address in self._arrivals(), PATIENCE_S, every_s=0.002)
        return self._arrivals()[address]

    def _arrivals(self) -> dict[str, float]:
        lines = (line.split() for line in self._path.read_text().splitlines())
        return {words[0]: float(words[1]) for words in lines if len(words) == 2}  # noqa: PLR2004  address and time
