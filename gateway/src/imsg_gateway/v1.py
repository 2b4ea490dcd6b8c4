"""The interface document's five URLs, v1: which they are, and answers cut down to the keys that it prints."""

from collections.abc import Mapping, Sequence

from pydantic_core import from_json
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_web.responses import HEADER_BYTES, Answer, make_headers, percent_encode, refuse_with

ALWAYS = ("errorCode", "errorMessage")

PRINTED: Mapping[str, tuple[str, ...]] = {
    "/api/login": ("token",),
    "/api/register": (),
    "/api/send": (),
    "/api/modify": (),
    "/api/query": ("messages", "next"),
}
"""URL → what a success prints beside ALWAYS. Its users' clients throw on any other key, and on any status but 200."""

PRINTED_AS_IT_IS = "/api/query"
"""Its owner prints these keys alone: a page of messages is not read again here."""

IGNORED = "X-IMSG-Ignored"


def url_of(path: str) -> str | None:
    """Return which of the five a path is, names behind /api/modify included; None for any other."""
    if path in PRINTED:
        return path
    return "/api/modify" if path.startswith("/api/modify/") else None


def print_only(response: Response, url: str) -> Response:
    """Cut an answer down to the documented keys and 200; its headers, which say the rest, stay."""
    is_success = response.status_code < 300  # noqa: PLR2004  HTTP's own number
    if url != PRINTED_AS_IT_IS or not is_success:
        keys = (*ALWAYS, *PRINTED[url]) if is_success else ALWAYS
        if isinstance(response, Answer):
            content = response.content
            response.content = {key: content[key] for key in keys if key in content}
        else:
            content = from_json(bytes(response.body))
            headers = response.raw_headers
            response = Answer({key: content[key] for key in keys if key in content}, headers=make_headers(content))
            own = {b"content-length", *(name for name, _ in response.raw_headers)}
            response.raw_headers += [item for item in headers if item[0] not in own]
    response.status_code = 200
    return response


def tell_ignored(names: Sequence[str]) -> str:
    """Write the fields that were ignored as a header can hold them: comma-separated, cut between two names."""
    kept, length = [], -1
    for name in map(percent_encode, names):
        length += len(name) + 1
        if length > HEADER_BYTES:
            break
        kept.append(name)
    return ",".join(kept)


def refuse(refusal: Refusal, accept_language: str, path: str) -> Response:
    """Answer a refusal in the form of the path that was asked."""
    if len(path) > 1 and path.endswith("/"):
        path = path[:-1]
    answer, url = refuse_with(refusal, accept_language), url_of(path)
    return answer if url is None else print_only(answer, url)
