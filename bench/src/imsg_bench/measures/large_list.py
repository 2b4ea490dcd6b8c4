"""A list of large mails: how long it blocks the loop of `imsg up`, and the delay of single mails.

One request of 500 recipients with an attachment of 10 MiB, which no compression makes smaller; all of iMSG is in one
process, and its sandbox is the mail server, so that every one of 7 GB goes through the same loop twice.
Stall: another process asks /health/live every 5 ms on a connection that stays open; the figure is the longest that it
waited, from the first byte of the list's POST until its last mail was settled. Idle: the same before, for some seconds.
Single mails: one after the other beside the list, each timed from its answer 202 until GET /api/v2/messages says that
it is sent; that is asked every 20 ms, so they can't be quicker.
Refused: answers to these questions, and to the same ones about the list, that were no success, `unavailable` foremost;
not counted is the 404 of a request that history has not written yet.
"""

import base64
import json
import secrets
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imsg_bench import liveness_probe, machine
from imsg_bench.costs import Meter
from imsg_bench.deployment import CONTENT
from imsg_bench.embedded import EmbeddedDeployment, prepare_embedded
from imsg_bench.figures import percentile
from imsg_bench.filling import wait_until
from imsg_bench.measure import Run
from imsg_bench.result import Result, Series
from imsg_bench.servers import make_folder
from imsg_testing.processes import Process
from imsg_testing.service import environment

KEY = "S"
TITLE = "A list of large mails, all in one process"

ATTACHMENT_BYTES = 10 * 1024 * 1024
IDLE_S = 5.0
ASK_EVERY_S = 0.02
PATIENCE_S = 600.0
MESSAGES = "/api/v2/messages"


def measure(run: Run) -> Result:
    """Measure S."""
    people, load = run.scale.large, machine.load()
    with ExitStack() as stack:
        folder = make_folder(stack)
        deployment = stack.enter_context(prepare_embedded(folder / "up", {}))
        deployment.start()
        deployment.open_wide()
        beats = folder / "probe"
        listener = _listener(deployment, beats)
        stack.callback(listener.close)
        listener.start()
        client, other = (Client(deployment, stack.enter_context(httpx.Client(timeout=60))) for _ in range(2))
        client.single()  # the first one opens connections
        begun_idle = time.monotonic()
        run.pause(IDLE_S)
        ended_idle = time.monotonic()
        body = _list(client.token, people)
        meter = Meter.begin(embedded=deployment.process.pid)
        begun = time.monotonic()
        with ThreadPoolExecutor(1) as thread:
            settled = thread.submit(other.settle, body, people)
            singles = _singles(client, settled)
            accepted, ended, refused = settled.result()
        costs = meter.per_unit_us(people)
        assert listener.runs, listener.last_lines()  # noqa: S101  a silence would be no stall
        beats_read = liveness_probe.read(beats)
    idle = liveness_probe.between(beats_read, begun_idle, ended_idle)
    beside = liveness_probe.between(beats_read, begun, ended)
    run.progress.round(KEY, 0, 1, longest_ms=max(beside), idle_ms=max(idle), list_s=ended - begun)
    return Result(
        KEY,
        TITLE,
        (
            Series("/health/live, longest", "ms", (max(beside),), at_most=1_000),
            Series("/health/live, p99", "ms", (percentile(beside, 0.99),)),
            Series("/health/live, longest, idle", "ms", (max(idle),)),
            Series("single mails, p50", "ms", (percentile(singles, 0.5),)),
            Series("single mails, longest", "ms", (max(singles),)),
            Series("queries refused", "", (float(refused + client.refused),), at_most=0),
            Series("list accepted after", "s", (accepted - begun,)),
            Series("list settled after", "s", (ended - begun,)),
        ),
        {f"imsg up with its Valkey, of {people} large mails and all beside them": costs["embedded"]},
        notes=(
            f"{people} recipients; {len(singles)} single mails and {len(beside):,} heartbeats beside them.",
            f"Load of the machine before it began: {load:.1f}.",
        ),
    )


def _listener(deployment: EmbeddedDeployment, beats: Path) -> Process:
    command = [sys.executable, "-m", "imsg_bench.liveness_probe", "127.0.0.1", str(deployment.port), str(beats)]
    folder = deployment.log.parent
    return Process(command, log=folder / "liveness_probe.log", environment=environment({}), cwd=folder)


def _list(token: str, people: int) -> bytes:
    file = base64.b64encode(secrets.token_bytes(ATTACHMENT_BYTES)).decode()
    body = {
        "token": token,
        "to": [f"reader{number}@example.com" for number in range(people)],
        "method": "smtp",
        "content": CONTENT,
        "attachment": [{"filename": "对账单.pdf", "file": file}],
    }
    return json.dumps(body, ensure_ascii=False).encode()


def _singles(client: "Client", settled: Future[Any]) -> list[float]:
    beats_read = []
    while not settled.done():
        beats_read.append(client.single())
    return beats_read


@dataclass(slots=True)
class Client:
    """Sends and asks what became of it; counts the answers that were none."""

    deployment: EmbeddedDeployment
    _client: httpx.Client
    refused: int = 0

    @property
    def token(self) -> str:
        """The administrator's."""
        return self.deployment.token()

    def single(self) -> float:
        """Send one mail; return how many ms it took from its answer until it was sent."""
        body = {"token": self.token, "to": "zhang@example.com", "method": "smtp", "content": CONTENT}
        request = self._send(json.dumps(body, ensure_ascii=False).encode())
        begun = time.monotonic()
        wait_until(lambda: self._is_sent(request), PATIENCE_S, every_s=ASK_EVERY_S)
        return (time.monotonic() - begun) * 1e3

    def settle(self, body: bytes, people: int) -> tuple[float, float, int]:
        """Send a list and wait for its end; return when it was accepted, when settled, and the answers refused."""
        request = self._send(body)
        accepted = time.monotonic()
        wait_until(lambda: self._has_sent(request, people), PATIENCE_S, every_s=0.25)
        return accepted, time.monotonic(), self.refused

    def _send(self, body: bytes) -> str:
        answer = self._client.post(f"{self.deployment.url}{MESSAGES}", content=body).json()
        assert answer["errorCode"] == 0, answer  # noqa: S101  a refusal is no measurement
        return str(answer["id"])

    def _is_sent(self, request: str) -> bool:
        messages = self._ask(MESSAGES, id=request).get("messages", [])
        return bool(messages) and messages[0]["status"] == "sent"

    def _has_sent(self, request: str, people: int) -> bool:
        self._ask(MESSAGES, id=request)
        counts = self._ask(f"/api/v2/requests/{request}").get("counts", {})
        return bool(counts.get("sent", 0) == people)

    def _ask(self, path: str, **params: str) -> dict[str, Any]:
        answer = self._client.get(f"{self.deployment.url}{path}", params={"token": self.token, **params})
        if answer.is_success:
            read: dict[str, Any] = answer.json()
            return read
        self.refused += not _is_unwritten(answer)
        return {}


def _is_unwritten(answer: httpx.Response) -> bool:
    """Return whether history has just not got to a request yet: a 404 is the truth then, and no refusal."""
    return answer.status_code == httpx.codes.NOT_FOUND
