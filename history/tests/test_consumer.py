"""How long a batch waits for more: for next to nothing while few come, longer while many do."""

from imsg_history.consumer import GATHER_S, LONGER_S, MANY, STILL_MANY, next_gather_s


def test_few_wait_for_nobody_and_many_wait_longer() -> None:
    assert next_gather_s(GATHER_S, MANY - 1) == GATHER_S
    assert next_gather_s(GATHER_S, MANY) == LONGER_S


def test_who_waited_longer_goes_on_so_at_eighty_a_second_and_no_fewer() -> None:
    assert next_gather_s(LONGER_S, STILL_MANY) == LONGER_S
    assert next_gather_s(LONGER_S, STILL_MANY - 1) == GATHER_S
    assert STILL_MANY / LONGER_S == 80
