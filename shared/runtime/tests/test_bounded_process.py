"""A function reads what a stranger wrote: it ends within its bounds, and the next call has a process of its own."""

import pytest

from imsg_runtime.bounded_process import BoundedProcess, Bounds, BoundsExceededError

BOUNDS = Bounds(cpu_s=1, memory_bytes=256 * 1024 * 1024, timeout_s=60.0)


async def test_calls_share_a_process_until_one_exceeds_its_bounds() -> None:
    async with BoundedProcess("base64:b64decode", BOUNDS) as process:
        assert await process.call(b"aQ==") == b"i"
        with pytest.raises(RuntimeError, match="Invalid base64"):
            await process.call(b"a")
        assert await process.call(b"ag==") == b"j"


async def test_what_takes_too_much_memory_is_ended_and_the_next_call_is_answered() -> None:
    async with BoundedProcess("operator:mul", BOUNDS) as process:
        with pytest.raises(BoundsExceededError):
            await process.call(b"x" * 1_000, 10**6)
        assert await process.call(b"x", 2) == b"xx"


async def test_what_takes_too_long_is_ended_and_the_next_call_is_answered() -> None:
    async with BoundedProcess("imsg_testing.endless:loop", BOUNDS) as process:
        with pytest.raises(BoundsExceededError):
            await process.call(b"x", True)  # noqa: FBT003  as JSON has it
        assert await process.call(b"x", False) == b"x"  # noqa: FBT003  as above
