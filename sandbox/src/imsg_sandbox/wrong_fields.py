"""Wrong fields of a request, answered in the public shape: FastAPI has an answer of its own to them."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from imsg_runtime.api_responses import language, speak
from imsg_runtime.responses import refuse_with, wrong_fields


def speak_everywhere(api: FastAPI) -> None:
    """Make a FastAPI app answer in the public shape, wrong fields too."""

    async def on_fields(request: Request, error: RequestValidationError) -> Response:
        return refuse_with(wrong_fields(error.errors()), language(request))

    speak(api)
    api.add_exception_handler(RequestValidationError, on_fields)  # type: ignore[arg-type]
