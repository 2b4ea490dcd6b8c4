"""Waiting, at the start of a service, for a dependency that is still starting."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.settings import StartError, variable

log = logger(__name__)

START_PATIENCE_S = 30.0
"""How long a start waits before it gives up; a supervisor then starts the service again."""

FIRST_WAIT_S = 0.2
MAX_WAIT_S = 5.0


async def wait_for_database(
    bring_up: Callable[[], None],
    *,
    patience_s: float = START_PATIENCE_S,
    unavailable: tuple[type[Exception], ...] = (DatabaseUnavailable,),
) -> None:
    """Run `bring_up`, such as a migration, in a thread until the database answers.

    Raises StartError after `patience_s`.
    """
    what = f"the database at {variable('database_url')}"
    await wait_for(lambda: asyncio.to_thread(bring_up), what, patience_s=patience_s, unavailable=unavailable)


async def wait_for(
    start: Callable[[], Awaitable[None]],
    what: str,
    *,
    unavailable: tuple[type[Exception], ...],
    patience_s: float = START_PATIENCE_S,
) -> None:
    """Call `start` until it raises none of `unavailable`. Raises StartError, which names `what`, after `patience_s`."""
    loop = asyncio.get_running_loop()
    deadline, failures = loop.time() + patience_s, 0
    problem = RecurringProblem(log, "waiting", what=what)
    while True:
        try:
            await start()
        except unavailable as error:
            if loop.time() > deadline:
                raise StartError("{0} did not answer: {1}", what, error) from error
            failures += 1
            problem.report(error)
        else:
            problem.clear()
            return
        draw = random.random()  # noqa: S311  jitter is no secret
        await asyncio.sleep(back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=MAX_WAIT_S))
