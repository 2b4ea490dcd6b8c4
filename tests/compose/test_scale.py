"""More replicas share the work without further settings, and restart one by one without a failed request."""

from collections.abc import Iterator

import pytest

from imsg_testing.compose import Containers
from imsg_testing.compose_load import PAGE, Load

pytestmark = pytest.mark.timeout(1_200)

SINGLES, LISTED = 200, 10_000


@pytest.fixture(scope="module")
def scaled(containers: Containers) -> Iterator[Containers]:
    """Yield the stack with two gateways and three senders of SMS."""
    containers.scale(gateway=2, sender_sms=3)
    yield containers
    containers.scale(gateway=1, sender_sms=1)


def attempts(containers: Containers) -> dict[str, float]:
    """Count the SMS that each sender has tried."""
    return {sender: containers.metric(sender, "imsg_deliveries_total") for sender in containers.replicas("sender-sms")}


def test_gateways_and_senders_share_single_messages_evenly(scaled: Containers) -> None:
    load = Load(scaled)
    before, published = attempts(scaled), scaled.count_published()
    with load.running(threads=4, asks=("single",), until=SINGLES):
        pass
    assert load.failures == []
    count = len(load.accepted)

    def count_tried() -> list[float]:
        return [now - before[sender] for sender, now in attempts(scaled).items()]

    scaled.wait(lambda: sum(count_tried()) == count)
    assert min(count_tried()) > count * 0.2, f"of {count}: {count_tried()}"

    def count_sent() -> list[int]:
        return [now - published[gateway] for gateway, now in scaled.count_published().items()]

    scaled.wait(lambda: sum(count_sent()) >= count)  # RabbitMQ counts every few seconds
    assert min(count_sent()) > count * 0.35, f"of {count}: {count_sent()}"


def test_senders_share_the_parts_of_one_long_list(scaled: Containers) -> None:
    before = attempts(scaled)
    load = Load(scaled)
    numbers = [f"187{number:08d}" for number in range(LISTED)]
    answer = load.send(scaled.client, "sms", numbers, "明天下雨").json()

    def count_tried() -> list[float]:
        return [now - before[sender] for sender, now in attempts(scaled).items()]

    assert (answer["errorCode"], answer["count"]) == (0, LISTED), answer
    scaled.wait(lambda: sum(count_tried()) == LISTED)
    assert min(count_tried()) >= LISTED * 0.2, count_tried()


@pytest.mark.parametrize("service", ["gateway", "sender-sms", "auth", "history", "sender-smtp", "sender-wechat"])
def test_a_service_is_rolled_under_load_without_a_failed_request(scaled: Containers, service: str) -> None:
    """Where there is one replica as well as where there are more."""
    load = Load(scaled)
    before = scaled.replicas(service)
    with load.running(threads=3, pause_s=0.05):
        scaled.wait(lambda: load.answered.total() > 30)
        scaled.run("scripts/roll", service, timeout_s=600)
        after = load.answered.total()
        scaled.wait(lambda: load.answered.total() > after + 30)

    assert load.failures == []
    assert len(scaled.replicas(service)) == len(before)
    assert not set(scaled.replicas(service)) & set(before)
    scaled.wait(lambda: not load.waiting(scaled.client), within_s=120)


def test_the_web_page_is_there_all_the_time_while_its_service_is_rolled(scaled: Containers) -> None:
    load = Load(scaled)
    (before,) = scaled.replicas("console")
    with load.running(threads=2, asks=(PAGE,), pause_s=0.05):
        scaled.wait(lambda: load.answered.total() > 10)
        scaled.run("scripts/roll", "console", timeout_s=600)
        after = load.answered.total()
        scaled.wait(lambda: load.answered.total() > after + 10)

    assert load.failures == []
    assert scaled.replicas("console") != [before]
