"""How a request to a provider goes over the wire."""

from collections.abc import Mapping

from imsg_web import http_connection


class NotSent(Exception):  # noqa: N818  named for the outcome
    """The provider was not reached: it certainly has nothing."""


def write_request(method: str, host: bytes, target: bytes, headers: Mapping[str, str], content: bytes | None) -> bytes:
    """Write a request. Raises NotSent where a header can't be one."""
    names = {name.lower() for name in headers}
    lines: list[tuple[bytes, bytes]] = []
    if "host" not in names:
        lines.append((b"host", host))
    if "user-agent" not in names:
        lines.append((b"user-agent", b"iMSG"))
    try:
        lines += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    except UnicodeEncodeError as error:
        raise NotSent(f"a header holds {error.object[error.start]!r}, which HTTP has no place for") from error
    if content is not None and "content-length" not in names:
        lines.append((b"content-length", b"%d" % len(content)))
    try:
        return http_connection.write_request(method, target, lines, content)
    except ValueError as error:
        raise NotSent(str(error)) from error
