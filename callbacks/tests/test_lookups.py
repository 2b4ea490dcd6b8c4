"""Hosts are resolved in threads of their own: silent name servers delay no other host."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from imsg_callbacks.lookups import Lookups


@dataclass
class Names:
    """A resolver that answers for `silent…` only once `gate` is set, with an error."""

    asked: Counter[str] = field(default_factory=Counter)
    gate: threading.Event = field(default_factory=threading.Event)

    def ask(self, host: str, port: int) -> Sequence[str]:
        """Answer, or wait, or fail."""
        self.asked[host] += 1
        if host.startswith("silent"):
            self.gate.wait(60)
            raise OSError("no answer")
        return [f"93.184.215.{port % 200}"]


@pytest.fixture
def names() -> Iterator[Names]:
    opened = Names()
    yield opened
    opened.gate.set()


async def test_silent_hosts_delay_no_others_and_use_one_thread_each(names: Names) -> None:
    lookups = Lookups(names.ask)
    silent = [
        asyncio.create_task(lookups.resolve(f"silent{host}.example", 443)) for host in range(20) for _ in range(8)
    ]
    async with asyncio.timeout(60):
        addresses = await asyncio.gather(*(lookups.resolve(f"good{host}.example", 443) for host in range(100)))
    assert set(map(tuple, addresses)) == {("93.184.215.43",)}
    assert {count for host, count in names.asked.items() if host.startswith("silent")} == {1}
    assert not any(call.done() for call in silent)

    names.gate.set()
    async with asyncio.timeout(60):
        errors = await asyncio.gather(*silent, return_exceptions=True)
    assert {type(error) for error in errors} == {OSError}
    with pytest.raises(OSError, match="no answer"):
        await lookups.resolve("silent0.example", 443)
    assert names.asked["silent0.example"] == 2, "an answer is not cached"
    lookups.close()


async def test_a_cancelled_call_leaves_the_look_up_to_the_others(names: Names) -> None:
    lookups = Lookups(names.ask)
    staying = asyncio.create_task(lookups.resolve("silent.example", 80))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lookups.resolve("silent.example", 80)
    assert not staying.done()
    names.gate.set()
    with pytest.raises(OSError, match="no answer"):
        await staying
    lookups.close()
