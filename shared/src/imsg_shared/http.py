"""HTTP/1.1 as clients speak it: raw UTF-8 in a request line is read, what is no HTTP has its answer too."""

from typing import Any
from urllib.parse import quote

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from imsg_shared.answers import JSON, encode
from imsg_shared.errors import Refusal

_ASCII = "".join(map(chr, range(0x80)))


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with two habits of its parser softened."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  uvicorn's own
        super().__init__(*arguments, **named)
        self._may_be_request_line = True

    def data_received(self, data: bytes) -> None:
        """Percent-encode raw UTF-8 in a request line (curl and others never encode), which the parser refuses."""
        if self._may_be_request_line:
            line, newline, rest = data.partition(b"\n")
            if not line.isascii():
                data = quote(line, safe=_ASCII).encode("ascii") + newline + rest
            self._may_be_request_line = not newline
        super().data_received(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header: the request line is over, also of a request that came in one piece with the one before."""
        self._may_be_request_line = False
        super().on_header(name, value)

    def on_message_complete(self) -> None:
        """End a request: what follows is the next one's line."""
        super().on_message_complete()
        self._may_be_request_line = True

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as everything is answered, and close."""
        del msg
        body = encode(Refusal("not_http").answer(english=False))
        head = (
            "HTTP/1.1 400 Bad Request",
            f"content-type: {JSON}",
            f"content-length: {len(body)}",
            "connection: close",
        )
        self.transport.write("\r\n".join((*head, "", "")).encode("ascii") + body)
        self.transport.close()
