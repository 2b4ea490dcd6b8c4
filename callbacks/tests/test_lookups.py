"""Hosts are asked for in threads of their own: those whose name servers are silent hold up no others."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from imsg_callbacks.lookups import Lookups


@dataclass
class Names:
    """The system's resolver: of `silent…` it hears nothing until it is let go."""

    asked: Counter[str] = field(default_factory=Counter)
    gate: threading.Event = field(default_factory=threading.Event)

    def ask(self, host: str, port: int) -> Sequence[str]:
        """Answer, or wait, or fail."""
        self.asked[host] += 1
        if host.startswith("silent"):
            self.gate.wait(10)
            raise OSError("nobody answers")
        return [f"93.184.215.{port % 200}"]


@pytest.fixture
def names() -> Iterator[Names]:
    opened = Names()
    yield opened
    opened.gate.set()


async def test_silent_hosts_hold_up_no_others_and_each_has_one_thread(names: Names) -> None:
    lookups = Lookups(names.ask)
    silent = [
        asyncio.create_task(lookups.resolve(f"silent{host}.example", 443)) for host in range(20) for _ in range(8)
    ]
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(lookups.resolve(f"good{host}.example", 443) for host in range(100)))
    assert set(map(tuple, found)) == {("93.184.215.43",)}
    assert {count for host, count in names.asked.items() if host.startswith("silent")} == {1}
    assert not any(one.done() for one in silent)

    names.gate.set()
    async with asyncio.timeout(5):
        failed = await asyncio.gather(*silent, return_exceptions=True)
    assert {type(one) for one in failed} == {OSError}
    with pytest.raises(OSError, match="nobody answers"):
        await lookups.resolve("silent0.example", 443)
    assert names.asked["silent0.example"] == 2, "an answer is not kept"
    lookups.close()


async def test_who_gives_up_waiting_takes_nothing_from_who_waits_on(names: Names) -> None:
    lookups = Lookups(names.ask)
    staying = asyncio.create_task(lookups.resolve("silent.example", 80))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lookups.resolve("silent.example", 80)
    assert not staying.done()
    names.gate.set()
    with pytest.raises(OSError, match="nobody answers"):
        await staying
    lookups.close()
