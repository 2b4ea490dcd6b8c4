"""The routes of a service."""

import re
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import Route

from imsg_web.service import Service


def routes(service: Service) -> set[tuple[str, str]]:
    """List (verb, path) of all that a service answers, names in a path as {}."""
    api: Any = service._api
    api = getattr(api, "app", api)
    if isinstance(api, FastAPI):
        return {
            (verb, _unnamed(context.path or ""))
            for context in iter_route_contexts(api.routes)
            if isinstance(context.original_route, APIRoute)
            for verb in context.methods or ()
        }
    if isinstance(api, Starlette):
        found = (route for route in api.routes if isinstance(route, Route))
        return {(verb, _unnamed(route.path)) for route in found for verb in route.methods or ()}
    return set()


def _unnamed(path: str) -> str:
    return re.sub(r"{\w+(:\w+)?}", "{}", path)
