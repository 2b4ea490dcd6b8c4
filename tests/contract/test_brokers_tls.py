"""RabbitMQ over TLS: both sides verify certificates, and errors name the setting."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog.testing

from imsg_broker import rabbitmq
from imsg_contract.topology import Lane, Topology, job_key
from imsg_runtime.settings import StartError
from imsg_testing.brokers import arrivals, depth_is, is_so, open_ready, remove_queues, unready
from imsg_testing.servers import Rabbit
from imsg_testing.servers.certificates import Certificates

JOB = job_key("smtp", Lane.NORMAL)


@pytest.fixture
async def clean(rabbit: Rabbit, topology: Topology) -> AsyncIterator[Rabbit]:
    """Lend the broker, and remove the test's queues afterwards."""
    yield rabbit
    await remove_queues(rabbit.url, f"{topology.prefix}.*")


async def test_jobs_travel_and_unacked_ones_are_counted_over_tls(clean: Rabbit, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    async with open_ready(clean.tls_url, topology) as sender, open_ready(clean.tls_url, topology) as gateway:
        for _ in range(3):
            await sender.publish(b"job", topology.new(JOB))
        async with sender.consume(queue, 2) as jobs:
            await arrivals(jobs, 2)
            await depth_is(gateway, queue, 3)  # only the management API can tell it of the other's two


async def test_a_name_other_than_the_certificates_is_refused_unless_server_name_sets_it(
    clean: Rabbit, topology: Topology
) -> None:
    by_number = clean.tls_url.replace("localhost", "127.0.0.1", 1)
    why = await _why_not(by_number, topology)
    assert "server_name=" in why
    assert "IMSG_BROKER_URL" in why
    async with open_ready(f"{by_number}&server_name=localhost", topology) as broker:
        await broker.publish(b"job", topology.new(JOB))
        await depth_is(broker, topology.history, 1)


async def test_a_certificate_signed_by_a_stranger_is_refused(clean: Rabbit, topology: Topology, tmp_path: Path) -> None:
    stranger = Certificates(tmp_path, "localhost")
    url = clean.tls_url.replace(str(clean.certificates.ca), str(stranger.ca))
    assert "cafile=" in await _why_not(url, topology)


async def test_a_broker_that_wants_our_certificate_is_reported_as_such(clean: Rabbit, topology: Topology) -> None:
    assert "certfile=" in await _why_not(clean.tls_url_of_a_stranger, topology)


async def test_a_renewed_certificate_needs_no_restart(clean: Rabbit, topology: Topology, tmp_path: Path) -> None:
    ours, stranger = clean.certificates, Certificates(tmp_path, "localhost")
    url = clean.tls_url
    for mounted, right in ((stranger.client, ours.client), (stranger.client_key, ours.client_key)):
        url = url.replace(str(right), str(mounted))
    async with unready(url, topology) as broker:
        assert not broker.ready
        shutil.copy(ours.client_key, stranger.client_key)
        shutil.copy(ours.client, stranger.client)
        await is_so(lambda: broker.ready)


async def test_tls_to_a_port_without_it_is_reported(clean: Rabbit, topology: Topology) -> None:
    url = clean.tls_url.replace(str(clean.tls_port), str(clean.amqp_port), 1)
    assert "speaks no TLS" in await _why_not(url, topology)


async def test_a_wrong_password_is_reported_with_its_setting(clean: Rabbit, topology: Topology) -> None:
    why = await _why_not(clean.tls_url.replace("guest:guest", "guest:wrong"), topology)
    assert "user and password in IMSG_BROKER_URL" in why
    assert "wrong" not in why


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("cafile=/nowhere/ca.pem", "cafile /nowhere/ca.pem .* can't be read"),
        ("cafile={key}", "holds no PEM certificate"),
        ("certfile={cert}&keyfile={other}", "belong together"),
        ("keyfile={key}", "needs a certfile"),
    ],
)
async def test_files_that_are_of_no_use_stop_the_start(
    option: str, complaint: str, topology: Topology, tmp_path: Path
) -> None:
    ours = Certificates(tmp_path, "localhost")
    given = option.format(cert=ours.client, key=ours.client_key, other=ours.server_key)
    with pytest.raises(StartError, match=complaint) as error:
        async with rabbitmq.connect(f"amqps://u:secret@localhost/?{given}", topology):
            pass
    assert "IMSG_BROKER_URL" in str(error.value)
    assert "secret" not in str(error.value)


async def _why_not(url: str, topology: Topology) -> str:
    """Try to connect, and return what the log says of it."""
    with structlog.testing.capture_logs() as logged:
        async with unready(url, topology) as broker:
            await is_so(lambda: any(line["event"] == "broker_unavailable" for line in logged))
            assert not broker.ready
    return next(str(line["why"]) for line in logged if line["event"] == "broker_unavailable")
