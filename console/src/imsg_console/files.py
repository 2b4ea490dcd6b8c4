"""Files that are written while they are downloaded, so that memory never holds them whole."""

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from imsg_console.paths import FILES

KEPT_PER_SESSION = 20


@dataclass(frozen=True, slots=True)
class File:
    """A file that is offered."""

    session: str
    filename: str
    media_type: str
    write: Callable[[], AsyncIterator[bytes]]


class Files:
    """Offers files to sessions; each can be downloaded once."""

    def __init__(self) -> None:
        self._kept: dict[str, File] = {}

    def offer(self, session: str, filename: str, media_type: str, write: Callable[[], AsyncIterator[bytes]]) -> str:
        """Offer a file; return its address, which works once."""
        names = [name for name, file in self._kept.items() if file.session == session]
        for name in names[: max(0, len(names) - KEPT_PER_SESSION + 1)]:
            del self._kept[name]
        name = secrets.token_urlsafe(16)
        self._kept[name] = File(session, filename, media_type, write)
        return f"{FILES}{name}"

    async def send(self, request: Request) -> Response:
        """Answer a request for a file."""
        name, session = request.path_params["name"], request.state.session
        file = self._kept.get(name)
        if session is None or file is None or file.session != session.key:
            return PlainTextResponse("", 404)
        del self._kept[name]
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}"}
        return StreamingResponse(file.write(), media_type=file.media_type, headers=headers)
