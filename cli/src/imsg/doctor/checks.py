"""Checks that take their time: one that fails or gets no answer becomes a finding."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from imsg.findings import TIMEOUT_S, Finding
from imsg_runtime.settings import StartError

Check = Callable[[], Awaitable[Finding | list[Finding]]]


async def run_checks(checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """Run the checks of these parts one after another; return what they find."""
    findings: list[Finding] = []
    for part, check in checks:
        try:
            async with asyncio.timeout(3 * TIMEOUT_S):
                result = await check()
            findings += result if isinstance(result, list) else [result]
        except StartError as error:
            findings.append(Finding(part, "wrong", error.line))
        except TimeoutError:
            findings.append(Finding(part, "no answer in time", "See whether it runs and is not overloaded."))
    return findings
