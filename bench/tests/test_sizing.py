"""The arithmetic against what was measured."""

from imsg_bench.result import Result, Series
from imsg_bench.sizing import checks


def test_what_is_full_first_is_what_costs_most_and_a_part_without_cost_never_is() -> None:
    """One core holds a consumer of 200 µs to 5,000 a second."""
    costs = {"floor: sender": 200.0, "floor: Valkey": 0.0, "floor: RabbitMQ": 100.0}
    lines = checks([Result("C", "Mails", (Series("floor", "1/s", (4_000.0,)),), costs)], processors=2).splitlines()
    assert lines[2:] == ["| C, the floor | 4,000 | 5,000 | sender |"]
