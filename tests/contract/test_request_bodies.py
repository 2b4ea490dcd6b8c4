"""No object of a v2 body, however deep, ignores a field that nothing reads."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel, RootModel

from imsg_channels import CHANNELS
from imsg_web.request_models import RequestModel

OWNERS = (
    "imsg_gateway",
    "imsg_auth",
    "imsg_history",
    "imsg_catalog",
    "imsg_scheduler",
    "imsg_callbacks",
    "imsg_wechat",
)
"""Who reads bodies of clients, at first hand or relayed."""

RUN = (".__main__", ".env")


def import_all(package: str) -> Iterator[Any]:
    """Import every module of a package."""
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not found.name.endswith(RUN) and ".versions" not in found.name:
            yield importlib.import_module(found.name)


def list_models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401  any annotation
    """Yield the models in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from list_models(inner)


def reach(models: Iterator[type[BaseModel]]) -> set[type[BaseModel]]:
    """Return models and all that their fields may hold."""
    reached: set[type[BaseModel]] = set()
    waiting = list(models)
    while waiting:
        model = waiting.pop()
        if model not in reached:
            reached.add(model)
            waiting += [
                inner
                for model_field in model.model_fields.values()
                for inner in list_models(model_field.rebuild_annotation())
            ]
    return reached


def list_subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield every model below another."""
    for below in model.__subclasses__():
        yield below
        yield from list_subclasses(below)


@pytest.fixture(scope="module")
def modules() -> list[Any]:
    """Import all of the services that read bodies."""
    return [module for owner in OWNERS for module in import_all(owner)]


def test_every_object_of_a_body_refuses_what_nothing_reads(modules: list[Any]) -> None:
    assert modules
    contents = (channel.content for channel in CHANNELS)
    reached = reach(iter([*list_subclasses(RequestModel), *contents]))
    objects = {model for model in reached if not issubclass(model, RootModel)}

    assert {"Scope", "AttachedFile", "MailContent", "TemplateContent"} <= {model.__name__ for model in objects}
    assert [model.__qualname__ for model in objects if model.model_config.get("extra") != "forbid"] == []


def test_every_body_of_a_route_is_such_an_object(modules: list[Any]) -> None:
    routers = {id(var): var for module in modules for var in vars(module).values() if isinstance(var, APIRouter)}
    bodies = [
        (route.path, model)
        for router in routers.values()
        for route in router.routes
        if isinstance(route, APIRoute)
        for parameter in route.dependant.body_params
        for top in list_models(parameter.field_info.annotation)
        for model in (list_models(top.model_fields["root"].annotation) if issubclass(top, RootModel) else [top])
    ]

    assert bodies
    assert [(path, model.__qualname__) for path, model in bodies if not issubclass(model, RequestModel)] == []
