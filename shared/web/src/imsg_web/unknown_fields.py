"""The refusal of query parameters that a route does not read, and of fields where it takes no body."""

from collections.abc import Iterable, Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from imsg_web.responses import refuse_unknown_field


def refuse_unknown(route: APIRoute, parameters: Iterable[str], fields: Iterable[str]) -> None:
    """Refuse the first parameter of a query, or field of a body, that a route does not read.

    A route with a body of its own leaves the fields to the body's model (`RequestModel`).
    Raises Refusal unknown_field, which names the one that was probably meant.
    """
    for name in parameters:
        if name not in (known := set(_list_parameters(route.dependant))):
            raise refuse_unknown_field(name, known)
    if route.body_field is None:
        for name in fields:
            raise refuse_unknown_field(name, ())


def _list_parameters(dependant: Dependant) -> Iterator[str]:
    """List the names of the query's parameters that an endpoint and its dependencies read."""
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (inner.alias or name for name, inner in model.model_fields.items())
        else:
            yield field.alias
    for inner_dependant in dependant.dependencies:
        yield from _list_parameters(inner_dependant)
