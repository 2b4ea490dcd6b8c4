"""The arithmetic against what was measured."""

from imsg_bench.result import Result, Series
from imsg_bench.sizing import checks, storage


def test_what_is_full_first_is_what_costs_most_and_a_part_without_cost_never_is() -> None:
    """One core holds a consumer of 200 µs to 5,000 a second."""
    costs = {"floor: sender": 200.0, "floor: Valkey": 0.0, "floor: RabbitMQ": 100.0}
    lines = checks([Result("C", "Mails", (Series("floor", "1/s", (4_000.0,)),), costs)], processors=2).splitlines()
    assert lines[2:] == ["| C, the floor | 4,000 | 5,000 | sender |"]


def test_what_is_kept_grows_with_the_load_and_is_given_where_it_was_measured() -> None:
    """10 messages a second of 4 MB each beside the 10 MB of an empty server; 2,000 octets a row."""
    found = Result(
        "O",
        "Left",
        (
            Series("Redis, for each message/s of steady load", "MB", (4.0,)),
            Series("Redis, keys", "B a message", (16.0,)),
            Series("append-only file, after a rewrite", "B a message", (8.0,)),
            Series("PostgreSQL", "B a message", (2_000.0,)),
        ),
    )
    lines = storage([found]).splitlines()
    assert lines[3] == "| 100 | 16.7 MB | 6.67 MB | 288 MB | 25.9 GB |"
    assert storage([]) == ""
