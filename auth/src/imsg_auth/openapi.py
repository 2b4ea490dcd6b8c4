"""What auth's OpenAPI says beyond FastAPI's own: each URL's documented refusals, and nothing it never answers."""

from typing import Any

from imsg_contract.error_responses import ANY, BODY, TOKEN, describe

Responses = dict[int | str, dict[str, Any]]


def refusals(*reasons: str, body: bool = False, token: bool = False, administrator: bool = False) -> Responses:
    """Describe what a URL may refuse, by HTTP status, next to what its kind may."""
    kinds = (*ANY, *(BODY if body else ()), *(TOKEN if token or administrator else ()))
    found: Responses = {}
    found.update(describe((*kinds, *(("no_right",) if administrator else ()), *reasons)))
    return found
