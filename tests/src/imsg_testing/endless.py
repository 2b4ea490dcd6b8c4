"""A function that does not end, for the process with bounds."""


def loop(content: bytes, is_endless: bool) -> bytes:  # noqa: FBT001  JSON
    """Return the content, or never."""
    while is_endless:
        pass
    return content
