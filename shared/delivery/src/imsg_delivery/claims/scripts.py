"""The claims' Lua scripts, read from the package's `.lua` files; each takes one atomic step on one key."""

from functools import cache
from importlib.resources import files

from imsg_runtime.redis import Script

_BARE = frozenset({"begin_and_claim", "finish"})
"""The two scripts of most single messages, without the common prefix, which would add 0.3 to 0.6 µs to 2 to 4."""


@cache
def load(name: str) -> Script:
    """Read a script, with the common prefix before it unless it is in `_BARE`."""
    folder = files(__package__).joinpath("lua")
    parts = (name,) if name in _BARE else ("common", name)
    return Script.of("".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts))
