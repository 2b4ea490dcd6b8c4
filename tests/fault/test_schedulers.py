"""Two schedulers, of which one is stopped during a release and resumes later: no message twice, and none lost."""

import secrets
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from imsg_testing.databases import open_database
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(900)

BATCH = 200
"""Jobs that a scheduler releases at once (`scheduler.release`)."""

SCHEDULERS = 2
IN_HAND = SCHEDULERS * BATCH
"""Jobs that the schedulers hold while they wait for the broker."""

MESSAGES = IN_HAND + BATCH
DUE_IN_S = 90.0
WITHIN_S = 300.0


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Two schedulers on one database."""
    return Plan(schedulers=SCHEDULERS, senders=2)


def test_a_scheduler_that_is_stopped_while_it_releases_sends_nothing_twice_and_keeps_nothing_back(
    deployment: Services,
) -> None:
    due = time.monotonic() + DUE_IN_S
    domain, token = f"{secrets.token_hex(6)}.example.com", deployment.token()

    def accept(name: str, due_at: float) -> None:
        send_at = datetime.now(UTC) + timedelta(seconds=due_at - time.monotonic())
        body = {"token": token, "method": "smtp", "to": f"{name}@{domain}", "send_at": send_at.isoformat()}
        answer = deployment.call("POST", "/api/v2/messages", body | {"content": {"subject": "later", "text": "您好"}})
        assert answer["errorCode"] == 0, answer

    def count_received() -> Counter[str]:
        return deployment.mailbox.counts(f"@{domain}")

    def count_released() -> int:
        with open_database(deployment.postgres.url_of("scheduler")) as engine, engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM scheduled WHERE releasing = 1")).scalar_one())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: accept(f"reader-{number}", due), range(MESSAGES)))
    stopped = deployment.schedulers[0].process
    assert time.monotonic() < due, "they were accepted too slowly"
    with deployment.rabbit.paused():  # so that each turn waits for its confirms
        wait(lambda: count_released() >= IN_HAND, WITHIN_S)
        stopped.pause()
    # What it holds is let go by the database when its transactions have been idle for long.
    wait(lambda: len(count_received()) == MESSAGES, WITHIN_S, every_s=0.5, why=lambda: str(len(count_received())))
    stopped.signal(signal.SIGCONT)
    wait(lambda: not count_released(), WITHIN_S, every_s=0.5)
    accept("last", time.monotonic())
    wait(lambda: f"last@{domain}" in count_received(), WITHIN_S)
    assert set(count_received().values()) == {1}
