"""What auth's OpenAPI says beyond FastAPI's own: each URL's documented refusals, and nothing it never answers."""

from collections.abc import Callable
from typing import Any

from imsg_auth.shapes import Refused
from imsg_shared.errors import REASONS, TEXTS

_ANY = ("bug", "unavailable")
_BODY = ("not_json", "not_an_object", "missing", "wrong_type")
_TOKEN = ("token_missing", "token_invalid")

_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")

Responses = dict[int | str, dict[str, Any]]


def refusals(*reasons: str, body: bool = False, token: bool = False, administrator: bool = False) -> Responses:
    """Describe what a URL may refuse, by HTTP status, next to what its kind may."""
    kinds = (*_ANY, *(_BODY if body else ()), *(_TOKEN if token or administrator else ()))
    found: dict[int, list[str]] = {}
    for reason in dict.fromkeys((*kinds, *(("no_right",) if administrator else ()), *reasons)):
        row = REASONS[reason]
        found.setdefault(row.http, []).append(f"{row.code} {TEXTS[row.code]} (`{reason}`)")
    return {http: {"model": Refused, "description": "; ".join(found[http])} for http in sorted(found)}


def documented(schema: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
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
