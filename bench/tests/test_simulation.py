"""The simulation against what arithmetic and queueing theory know."""

from random import Random

import pytest

from imsg_bench.result import Result, Series
from imsg_bench.simulation import Station, capacity, cores, simulate, size
from imsg_bench.sizing import checks, read_message_costs, table


def test_the_station_that_is_full_first_bounds_all() -> None:
    stations = [Station("gateway", 200), Station("sender", 1_000, workers=2), Station("history", 100)]
    assert capacity(stations, cores=64) == (2_000, "sender")


def test_the_cores_together_bound_what_no_station_does() -> None:
    rate, full = capacity([Station("gateway", 100), Station("broker", 300, workers=4)], cores=2)
    assert (round(rate), full) == (5_000, "the cores")


def test_one_worker_keeps_messages_as_long_as_theory_predicts() -> None:
    """M/M/1 at half load: the time in the system is exponential with a mean of 1 / (µ - λ), its median ln 2 of it."""
    played = simulate([Station("one", 1_000)], rate=500, messages=200_000, random=Random(1))  # noqa: S311  the same for every run
    assert played.p50_ms == pytest.approx(0.693 * 2, rel=0.05)
    assert played.p99_ms == pytest.approx(4.605 * 2, rel=0.1)
    assert played.rate == pytest.approx(500, rel=0.02)


def test_beyond_the_capacity_no_more_comes_through() -> None:
    stations = [Station("fast", 100), Station("slow", 1_000, workers=2)]
    played = simulate(stations, rate=20_000, messages=50_000, random=Random(2))  # noqa: S311
    assert played.rate == pytest.approx(capacity(stations, cores=8)[0], rel=0.03)


def test_a_size_leaves_room_and_is_never_nothing() -> None:
    costs = {"gateway": 250.0, "sender": 1_200.0}
    assert size(costs, 1) == {"gateway": 1, "sender": 1}
    assert size(costs, 60_000, safe=0.5) == {"gateway": 1, "sender": 3}
    assert cores(costs, 60_000, safe=0.5) == pytest.approx(2.9)


def whole_run() -> list[Result]:
    """Make the results that a sizing needs."""
    parts = ("gateway", "history", "sender-smtp", "Valkey", "RabbitMQ", "PostgreSQL")
    return [
        Result("A", "Accepted", (Series("iMSG, accepted", "1/s", (2_000,)),), {"iMSG: iMSG": 400, "iMSG: Valkey": 20}),
        Result("J", "Cost", (), dict.fromkeys(parts, 500.0)),
    ]


def test_the_table_has_a_line_a_load() -> None:
    costs = read_message_costs(whole_run()[1:])
    lines = table(costs).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["1", "100", "10,000", "1,000,000"]
    assert lines[-1].split("|")[2].strip() == "14"  # 16,667/s × 500 µs ÷ 0.6


def test_the_arithmetic_stands_beside_what_was_measured() -> None:
    """What was not measured has no line."""
    assert checks(whole_run(), 2).splitlines()[2:] == ["| A, the gateway | 2,000 | 2,500 | iMSG |"]
