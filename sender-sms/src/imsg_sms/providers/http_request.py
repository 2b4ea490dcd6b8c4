"""How a request to a provider goes over the wire."""

from collections.abc import Mapping


class NotSent(Exception):  # noqa: N818  named for the outcome
    """The provider was not reached: it certainly has nothing."""


def write_request(method: str, host: bytes, target: bytes, headers: Mapping[str, str], content: bytes | None) -> bytes:
    """Write a request. Raises NotSent where a header can't be one."""
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), target)]
    names = {name.lower() for name in headers}
    if "host" not in names:
        lines.append(b"host: " + host)
    if "user-agent" not in names:
        lines.append(b"user-agent: iMSG")
    try:
        lines += [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
    except UnicodeEncodeError as error:
        raise NotSent(f"a header holds {error.object[error.start]!r}, which HTTP has no place for") from error
    if content is not None and "content-length" not in names:
        lines.append(b"content-length: %d" % len(content))
    if any(b"\n" in line or b"\r" in line or b"\0" in line for line in lines):
        raise NotSent("a header holds a line end")
    return b"\r\n".join((*lines, b"", content or b""))
