"""FastAPI calls no function of ours in a thread: that costs more than what a dependency does."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

OWNERS = (
    "imsg_gateway",
    "imsg_auth",
    "imsg_history",
    "imsg_catalog",
    "imsg_scheduler",
    "imsg_callbacks",
    "imsg_wechat",
)


def list_routers(package: str) -> Iterator[APIRouter]:
    """Yield the routers in the modules of a package."""
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if "routes" in found.name:
            yield from (var for var in vars(importlib.import_module(found.name)).values() if isinstance(var, APIRouter))


def list_calls(dependant: Dependant) -> Iterator[object]:
    """Yield an endpoint and all that it depends on."""
    yield dependant.call
    for inner in dependant.dependencies:
        yield from list_calls(inner)


def is_async(call: object) -> bool:
    """Return whether FastAPI awaits a function, or an object that is called, instead of running it in a thread."""
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004


@pytest.mark.parametrize("owner", OWNERS)
def test_endpoints_and_dependencies_are_async(owner: str) -> None:
    routes = [route for router in list_routers(owner) for route in router.routes if isinstance(route, APIRoute)]
    calls = [call for route in routes for call in list_calls(route.dependant)]

    assert calls
    assert [call for call in calls if not is_async(call)] == []
