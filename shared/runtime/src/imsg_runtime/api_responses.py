"""FastAPI apps that answer in the public shape.

Apart from `responses`, since half of the services answer without FastAPI, and it is 6 MiB of memory.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from imsg_contract import error_responses
from imsg_contract.errors import Refusal
from imsg_runtime.responses import refuse_json, refuse_with, report_crash, wrong_fields

_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")


def speak(api: FastAPI) -> None:
    """Make a FastAPI app answer refusals, unknown paths, wrong fields and crashes in the public shape.

    Its OpenAPI document has no 422 then: a wrong field is answered 400.
    """

    async def on_refusal(request: Request, refusal: Refusal) -> Response:
        return refuse_with(refusal, _language(request))

    async def on_http(request: Request, error: HTTPException) -> Response:
        return refuse_with(_translate(request, error), _language(request))

    async def on_fields(request: Request, error: RequestValidationError) -> Response:
        return refuse_with(wrong_fields(error.errors()), _language(request))

    async def on_crash(request: Request, error: Exception) -> Response:
        return report_crash(error, _language(request))

    api.add_exception_handler(Refusal, on_refusal)  # type: ignore[arg-type]
    api.add_exception_handler(HTTPException, on_http)  # type: ignore[arg-type]
    api.add_exception_handler(RequestValidationError, on_fields)  # type: ignore[arg-type]
    api.add_exception_handler(Exception, on_crash)
    api.openapi = _leave_out_422(api.openapi)  # type: ignore[method-assign]


def describe_answers(shape: Any, *reasons: str, success: int = 200) -> dict[int | str, dict[str, Any]]:  # noqa: ANN401  a model, FastAPI's own type
    """Describe for FastAPI what a URL answers to a user: its success, and every refusal."""
    found: dict[int | str, dict[str, Any]] = {success: {"model": shape}}
    found.update(error_responses.describe((*error_responses.ANY, *error_responses.TOKEN, *reasons)))
    return found


def _leave_out_422(describe: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def describe_ours() -> dict[str, Any]:
        document = describe()
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for name in _FASTAPIS_OWN:
            document.get("components", {}).get("schemas", {}).pop(name, None)
        return document

    return describe_ours


def _translate(request: Request, error: HTTPException) -> Refusal:
    if error.status_code == 404:  # noqa: PLR2004  HTTP's own numbers
        return Refusal("no_such_url", path=request.url.path)
    if error.status_code == 405:  # noqa: PLR2004
        allowed = (error.headers or {}).get("Allow", "another method")
        headers = {"Allow": allowed}
        return Refusal("no_such_method", path=request.url.path, method=request.method, allowed=allowed, headers=headers)
    return refuse_json(str(error.detail))


def _language(request: Request) -> str:
    return request.headers.get("accept-language", "")
