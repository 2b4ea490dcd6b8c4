"""What the measures make of what they found, and that every one is whole."""

import pytest

from imsg_bench.floors.consumer import mail
from imsg_bench.measures.alone import FLOOR, OURS, WEB_FLOOR
from imsg_bench.measures.alone import result as alone
from imsg_bench.measures.far_server import content
from imsg_bench.measures.left_behind import ENDLESS, StoredKey, Stores, kind
from imsg_bench.measures.left_behind import result as left_behind
from imsg_bench.measures.overload import find_capacity
from imsg_bench.table import METHODS, TABLE


def test_every_measurement_has_a_key_of_its_own_and_a_page_of_its_method() -> None:
    assert len({measurement.KEY for measurement in TABLE}) == len(TABLE)
    assert all(len(page) > 100 for page in METHODS.values())


@pytest.mark.parametrize("octets", [1_000, 100_000])
def test_a_mail_is_about_as_long_as_asked(octets: int) -> None:
    assert len(mail(octets)) == pytest.approx(octets, rel=0.06)
    said = content(octets)
    assert isinstance(said, dict)
    on_the_wire = 400 + len(said["text"].encode()) * 4 / 3 * 78 / 76
    assert on_the_wire == pytest.approx(octets, rel=0.02)


def test_a_message_alone_is_held_against_the_floor_without_a_web_server() -> None:
    found = alone({FLOOR: [2.0] * 100, WEB_FLOOR: [4.0] * 100, OURS: [3.0] * 99 + [9.0]})
    assert found.find("p50, iMSG ÷ floor").middle == pytest.approx(1.5)
    assert found.find("p50, iMSG ÷ floor").is_met
    assert found.find("p50, iMSG ÷ floor behind a bare ASGI app").middle == pytest.approx(0.75)


def stores(keys: dict[str, StoredKey], memory: int, file: int, database: int) -> Stores:
    """Return the state of the stores at a moment."""
    return Stores(keys, memory, file, database)


def test_what_is_left_is_octets_by_seconds_of_what_has_grown() -> None:
    """1,000 messages: one key of theirs for 100,000 s, one that grew by half, one that was there, one without end."""
    before = stores(
        {"imsg:used:{a}": StoredKey(1_000, 500.0), "imsg:user:a": StoredKey(300, ENDLESS)}, 5_000, 100, 10_000
    )
    keys = {
        "imsg:settled:{1}": StoredKey(8_000, 100_000.0),
        "imsg:used:{a}": StoredKey(1_500, 400.0),
        "imsg:user:a": StoredKey(300, ENDLESS),
    }
    found = left_behind(before, stores(keys, 25_000, 900_100, 2_010_000), 50_000, 1_000)
    held = (8_000 * 100_000 + 500 * 400) / 1_000 / 1e6
    assert found.find("Redis, for each message/s of steady load").middle == pytest.approx(held)
    assert found.find("Redis, keys").middle == pytest.approx(8.5)
    assert found.find("Redis, keys without an end").middle == 0
    assert found.find("Redis, its memory's growth").middle == pytest.approx(20)
    assert found.find("append-only file, written").middle == pytest.approx(900)
    assert found.find("PostgreSQL").middle == pytest.approx(2_000)
    assert [note.split(":")[1] for note in found.notes[1:]] == ["settled`", "used`"]


def test_the_kind_of_a_key_is_its_name_without_its_owner() -> None:
    assert kind("imsg:used:{imsg:user:admin}:1") == "imsg:used"
    assert kind("imsg:claims:0197:3") == "imsg:claims"


@pytest.mark.parametrize(("most", "found"), [(1_000.0, 1_000.0), (100.0, 100.0)])
def test_the_capacity_is_what_comes_when_more_is_asked_for(most: float, found: float) -> None:
    """A server that delivers its most whatever is asked for."""
    asked: list[float] = []

    def deliver(rate: float) -> float:
        asked.append(rate)
        return min(rate, most)

    assert find_capacity(deliver) == found
    assert asked == sorted(asked)
    assert asked[-1] > most / 0.9
