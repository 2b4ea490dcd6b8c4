"""What a service answers: every URL of its API."""

import re
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from imsg_runtime.service import Service


def routes(service: Service) -> set[tuple[str, str]]:
    """List (verb, path) of all that a service answers, names in a path as {}."""
    api: Any = service._api
    if not isinstance(api, FastAPI):
        return {(route.verb, route.path) for route in api._table.routes}
    return {
        (verb, re.sub(r"{\w+(:\w+)?}", "{}", context.path or ""))
        for context in iter_route_contexts(api.routes)
        if isinstance(context.original_route, APIRoute)
        for verb in context.methods or ()
    }
