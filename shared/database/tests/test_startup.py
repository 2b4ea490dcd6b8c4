"""A start waits for its database as long as that may take, and no longer."""

from itertools import count

import pytest

from imsg_database.startup import wait_for_database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.settings import StartError


async def test_it_is_tried_until_the_database_answers() -> None:
    tries = count(1)

    def bring_up() -> None:
        if next(tries) < 3:
            raise DatabaseUnavailable("the database system is starting up")

    await wait_for_database(bring_up, patience_s=60)

    assert next(tries) == 4


async def test_a_database_that_never_answers_stops_the_start_by_name() -> None:
    def bring_up() -> None:
        raise DatabaseUnavailable("connection refused")

    with pytest.raises(StartError, match="IMSG_DATABASE_URL did not answer: connection refused"):
        await wait_for_database(bring_up, patience_s=0.1)


async def test_a_mistake_is_not_waited_for() -> None:
    def bring_up() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await wait_for_database(bring_up)
