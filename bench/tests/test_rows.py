"""Every measurement runs for seconds, so that none stops working unseen."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from imsg_bench.__main__ import PEER_PYTHON
from imsg_bench.deployment import Deployment
from imsg_bench.measure import Measurement, Run
from imsg_bench.progress import Progress
from imsg_bench.scale import TRIAL
from imsg_bench.servers import Servers
from imsg_bench.table import TABLE
from imsg_channels import METHODS
from imsg_contract.topology import Topology


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One set of servers and services for all."""
    peer = PEER_PYTHON if PEER_PYTHON.exists() else None
    with ExitStack() as outer, ExitStack() as stack:
        servers = Servers(outer)
        deployment = Deployment(stack, servers)
        deployment.auth()
        deployment.history()
        deployment.callbacks()
        deployment.catalog()
        yield Run(TRIAL, servers, Progress(), peer, {}, lasting=deployment)


@pytest.mark.long  # services of its own
@pytest.mark.parametrize("measurement", TABLE, ids=lambda measurement: measurement.KEY)
def test_a_measurement_finds_its_figures(measurement: Measurement, run: Run) -> None:
    result = measurement.measure(run)
    run.results[result.key] = result
    assert result.key == measurement.KEY
    assert result.series
    assert all(series.values for series in result.series)
    assert run.lasting is not None
    topology = Topology(methods=METHODS)
    run.lasting.share.purge(topology.history, *(queue for queue, _ in topology.work_queues()))
