"""The tables of a run: what a load needs, and what it keeps."""

import pytest

from imsg_bench.result import Result, Series
from imsg_bench.sizing import cores, read_message_costs, size, storage, table


def test_a_size_leaves_room_and_is_never_nothing() -> None:
    costs = {"gateway": 250.0, "sender": 1_200.0}
    assert size(costs, 1) == {"gateway": 1, "sender": 1}
    assert size(costs, 60_000, safe=0.5) == {"gateway": 1, "sender": 3}
    assert cores(costs, 60_000, safe=0.5) == pytest.approx(2.9)


def test_the_table_has_a_line_a_load() -> None:
    parts = ("gateway", "history", "sender-smtp", "Valkey", "RabbitMQ", "PostgreSQL")
    lines = table(read_message_costs([Result("J", "Cost", (), dict.fromkeys(parts, 500.0))])).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["1", "100", "10,000", "1,000,000"]
    assert lines[-1].split("|")[2].strip() == "14"  # 16,667/s × 500 µs ÷ 0.6


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
