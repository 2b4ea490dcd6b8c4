"""The claims' Lua scripts, read from the package's `.lua` files; each takes one atomic step on one key."""

from functools import cache
from importlib.resources import files

from imsg_runtime.redis import Script


@cache
def load(name: str) -> Script:
    """Read a script, with what all of them begin with before it."""
    folder = files(__package__).joinpath("lua")
    return Script.of("".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in ("common", name)))
