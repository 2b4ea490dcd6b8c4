"""What auth's OpenAPI says beyond FastAPI's own: each URL's documented refusals, and nothing it never answers."""

from collections.abc import Callable
from typing import Any

from imsg_contract.error_responses import ANY, BODY, TOKEN, describe

_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")

Responses = dict[int | str, dict[str, Any]]


def refusals(*reasons: str, body: bool = False, token: bool = False, administrator: bool = False) -> Responses:
    """Describe what a URL may refuse, by HTTP status, next to what its kind may."""
    kinds = (*ANY, *(BODY if body else ()), *(TOKEN if token or administrator else ()))
    found: Responses = {}
    found.update(describe((*kinds, *(("no_right",) if administrator else ()), *reasons)))
    return found


def document(schema: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Take FastAPI's 422 out of its document: a wrong field answers 400 here, in the public shape."""

    def without_422() -> dict[str, Any]:
        document = schema()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in _FASTAPIS_OWN:
            document.get("components", {}).get("schemas", {}).pop(name, None)
        return document

    return without_422
