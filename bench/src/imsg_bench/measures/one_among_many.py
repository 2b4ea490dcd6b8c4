"""A log-in code beside a flood and a backlog: how long from its POST until it is with the mail server.

Timed: from the moment a code was due (an open loop: codes leave by a schedule, whatever became of those before) to the
moment the mail server has it, which the mail server notes with its own clock (the same clock: CLOCK_MONOTONIC); so the
way to the gateway and its answer are in it. Several users send them in turn, each fewer than take the lane of codes.
Gateway, sender, history and auth run. In each round first on the idle system; then lists of 10,000 recipients are
accepted until as many wait as is said below, another user sends single messages by an open loop, 1,000 a second, and
while the sender is at all of this the same number of codes again; then what waits is thrown away. Codes that were
refused or never came make the round worthless.
The figures of the other user's messages say what the machine had left for them: it has the generators, servers and
iMSG on the same cores, and accepts what it can.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from imsg_bench.costs import Meter
from imsg_bench.counts import Counts
from imsg_bench.deployment import CONTENT, Deployment
from imsg_bench.figures import median, percentile, ratios
from imsg_bench.filling import count_ready, wait_until
from imsg_bench.measure import Run
from imsg_bench.measures.mails import BULK, HISTORY, SINGLE
from imsg_bench.result import Result, Series
from imsg_testing.api import PASSWORD

KEY = "H"
TITLE = "Codes beside 1,000 messages a second and 100,000 that wait"

USERS = 8
RATE = 100.0
"""Codes a second of all users: below 20 of each, of which the lane of codes takes no more."""

FLOOD_RATE = 1_000.0
FLOOD_CONNECTIONS = 256
LIST = 10_000
PATIENCE_S = 120.0
FLOOD_LEADS_S = 2.0
"""How long the flood goes on before the first code."""

SHARES = (0.5, 0.99, 0.999)

PRIORITY = SINGLE.replace("normal", "priority")


def measure(run: Run) -> Result:
    """Measure H."""
    rounds = []
    with run.deployment() as deployment:
        auth, history = deployment.auth(), deployment.history()
        deployment.catalog()
        gateway = deployment.gateway()
        port, counts = deployment.sink()
        sender = deployment.mail_sender(port)
        sender.start()
        services = {"gateway": gateway, "auth": auth, "history": history, "sender-smtp": sender}
        servers = deployment.servers
        pids = {name: service.process.pid for name, service in services.items()}
        pids |= {"Valkey": servers.valkey.process.pid, "RabbitMQ": servers.broker.process.pid}
        pids |= {"PostgreSQL": servers.postgres.process.pid}
        beside = CodesBesideLoad(run, deployment, f"{gateway.url}/api/v2/messages", counts, pids)
        beside.send_codes("warm", 1.0)  # the first ones open connections
        for number in range(run.scale.rounds):
            round_ = beside.round(number)
            rounds.append(round_)
            run.progress.round(
                KEY,
                number,
                run.scale.rounds,
                idle_p99=round_.idle.arrived[0.99],
                busy_p50=round_.busy.arrived[0.5],
                busy_p99=round_.busy.arrived[0.99],
                busy_p999=round_.busy.arrived[0.999],
                accepted_p99=round_.busy.answered[0.99],
            )

    def list_rounds(share: float, *, busy: bool) -> tuple[float, ...]:
        return tuple((round_.busy if busy else round_.idle).arrived[share] for round_ in rounds)

    return Result(
        KEY,
        TITLE,
        (
            Series(
                "p99, busy ÷ idle", "", ratios(list_rounds(0.99, busy=True), list_rounds(0.99, busy=False)), at_most=3
            ),
            Series("p99.9, busy", "ms", list_rounds(0.999, busy=True), at_most=1_000),
            Series("p99, busy", "ms", list_rounds(0.99, busy=True)),
            Series("p50, busy", "ms", list_rounds(0.5, busy=True)),
            Series("p99.9, idle", "ms", list_rounds(0.999, busy=False)),
            Series("p99, idle", "ms", list_rounds(0.99, busy=False)),
            Series("p50, idle", "ms", list_rounds(0.5, busy=False)),
            Series("p99, busy, until it was accepted", "ms", tuple(round_.busy.answered[0.99] for round_ in rounds)),
            Series("accepted of the other user", "1/s", tuple(round_.flood_rate for round_ in rounds)),
            Series("other mails delivered beside them", "1/s", tuple(round_.mails_rate for round_ in rounds)),
        ),
        notes=(
            f"{beside.count:,} codes in each half of a round.",
            f"Jobs in the lane of lists when the last had arrived: {min(round_.left for round_ in rounds):,} or more.",
            "Cores that each used beside them: "
            + ", ".join(f"{name} {median([round_.cores[name] for round_ in rounds]):.2f}" for name in pids),
        ),
    )


@dataclass(frozen=True, slots=True)
class CodeTimes:
    """How long codes took from when they were due: share → ms."""

    arrived: dict[float, float]
    answered: dict[float, float]


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found."""

    idle: CodeTimes
    busy: CodeTimes
    flood_rate: float
    mails_rate: float
    left: int
    cores: dict[str, float]


class CodesBesideLoad:
    """Codes, and what is beside them."""

    def __init__(self, run: Run, deployment: Deployment, url: str, counts: Counts, pids: Mapping[str, int]) -> None:
        self._run = run
        self._counts, self._pids = counts, pids
        self._deployment = deployment
        self._url = url
        self._probes: Path = deployment.folder / "probes"
        self._probes.touch()
        self._seconds = run.scale.codes / RATE
        self.count = run.scale.codes
        content = {"subject": "登录验证码", "text": "您的验证码是 482913，10 分钟内有效。"}
        bodies = [
            json.dumps(
                {
                    "token": self._user(codes=True),
                    "to": "ADDRESS",
                    "method": "smtp",
                    "category": "code",
                    "content": content,
                },
                ensure_ascii=False,
            )
            for _ in range(USERS)
        ]
        self._bodies = deployment.folder / "codes.jsonl"
        self._bodies.write_text("\n".join(bodies))
        flood = {"token": self._user(), "to": "flood@example.com", "method": "smtp", "content": CONTENT}
        self._flood = deployment.folder / "flood.json"
        self._flood.write_text(json.dumps(flood, ensure_ascii=False))
        people = [f"reader{number}@example.com" for number in range(LIST)]
        self._list = deployment.body(people, "list.json").read_bytes()

    def round(self, number: int) -> Round:
        """Send codes on the idle system, then beside all the rest."""
        idle = self.send_codes(f"idle{number}", self._seconds)
        self._fill()
        url, broker = self._url, self._deployment.share.plain_broker_url
        words = (url, str(self._flood), str(FLOOD_RATE), str(self._seconds + 2 * FLOOD_LEADS_S), str(FLOOD_CONNECTIONS))
        command = [sys.executable, "-m", "imsg_bench.openloop", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as flood:
            time.sleep(FLOOD_LEADS_S)
            begun, mails, meter = time.monotonic(), self._counts.count, Meter.begin(**self._pids)
            busy = self.send_codes(f"busy{number}", self._seconds)
            took_s = time.monotonic() - begun
            mails_rate = (self._counts.count - mails - self.count) / took_s
            cores = {name: used / took_s for name, used in meter.read_s().items()}
            left = count_ready(broker, BULK)
            output, errors = flood.communicate(timeout=PATIENCE_S)
        # Where the flood is held back its last answers are waited for in vain; what came in time is known all the same.
        rate = json.loads(output)["in_time"] / (self._seconds + 2 * FLOOD_LEADS_S) if output else 0.0
        if flood.returncode != 0:
            self._run.progress.show(f"{KEY}  the flood was not answered to its end: {errors[-200:]}")
        self._empty_queues()
        return Round(idle, busy, rate, mails_rate, left, cores)

    def send_codes(self, prefix: str, seconds: float) -> CodeTimes:
        """Send codes; return how long each took from when it was due to its arrival."""
        words = (self._url, str(self._bodies), f"probe-{prefix}", str(RATE), str(seconds))
        command = [sys.executable, "-m", "imsg_bench.codes", *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE_S + seconds)
        sent = json.loads(done.stdout)
        refused = [address for address, _, _, accepted in sent if not accepted]
        assert not refused, f"{len(refused)} codes were refused"  # noqa: S101  a refusal is no measurement
        due = {address: due_at for address, due_at, _, _ in sent}
        wait_until(lambda: due.keys() <= self._arrivals().keys(), PATIENCE_S, every_s=0.2)
        at = self._arrivals()
        arrived = [(at[address] - due_at) * 1e3 for address, due_at in due.items()]
        answered = [(answered_at - due_at) * 1e3 for _, due_at, answered_at, _ in sent]
        return CodeTimes(*({share: percentile(took, share) for share in SHARES} for took in (arrived, answered)))

    def _user(self, *, codes: bool = False) -> str:
        """Register a user who may send as much as can be set; return a token of theirs."""
        api = self._deployment.api
        name = api.new_user(per_hour=1_000_000, per_day=1_000_000)
        if codes:
            body = {"token": api.token(), "may_send_codes": True}
            assert api.call("PATCH", f"/api/v2/users/{name}", body)["errorCode"] == 0  # noqa: S101
        return api.token(name, PASSWORD)

    def _fill(self) -> None:
        for _ in range(self._run.scale.count_ready // LIST):
            answer = httpx.post(self._url, content=self._list, timeout=60).json()
            assert answer["errorCode"] == 0, answer  # noqa: S101  a refusal is no measurement

    def _empty_queues(self) -> None:
        """Empty the queues, and wait until what was under way is done."""
        broker = self._deployment.share.plain_broker_url

        def is_empty() -> bool:
            self._deployment.share.purge(SINGLE, BULK)
            return count_ready(broker, PRIORITY, SINGLE, BULK, HISTORY) == 0

        wait_until(is_empty, PATIENCE_S, every_s=0.5)
        self._run.pause(1.0)

    def _arrivals(self) -> dict[str, float]:
        lines = (line.split() for line in self._probes.read_text().splitlines())
        return {words[0]: float(words[1]) for words in lines if len(words) == 2}  # noqa: PLR2004  address and time
