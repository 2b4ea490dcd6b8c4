"""The claims' Lua scripts, read from the package's `.lua` files; each takes one atomic step on one key."""

from functools import cache
from importlib.resources import files

from imsg_runtime.redis import Script

_BARE = frozenset({"begin_and_claim", "finish"})
"""The two steps of a single message, as nearly all are. What the others begin with would be 0.3 to 0.6 µs of 2 to 4."""


@cache
def load(name: str) -> Script:
    """Read a script, with what all but the barest of them begin with before it."""
    folder = files(__package__).joinpath("lua")
    parts = (name,) if name in _BARE else ("common", name)
    return Script.of("".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts))
