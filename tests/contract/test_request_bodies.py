"""No object of a v2 body, however deep, ignores a field that nothing reads; each wrong field is named in words."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, cast, get_args

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, RootModel, TypeAdapter, ValidationError

from imsg_channels import CHANNELS
from imsg_web.request_models import RequestModel
from imsg_web.responses import PATTERNS, refuse_fields

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


def list_patterns(core_schema: Any) -> Iterator[str]:  # noqa: ANN401  any part of a schema
    """Yield the patterns by which Pydantic checks texts in a part of a core schema."""
    if isinstance(core_schema, dict):
        if core_schema.get("type") == "str" and "pattern" in core_schema:
            yield core_schema["pattern"]
        parts = [part for name, part in core_schema.items() if name != "metadata"]
    else:
        parts = list(core_schema) if isinstance(core_schema, list | tuple) else []
    for part in parts:
        yield from list_patterns(part)


def list_routes(modules: list[Any]) -> list[APIRoute]:
    """Return the routes of all routers."""
    routers = {id(var): var for module in modules for var in vars(module).values() if isinstance(var, APIRouter)}
    return [route for router in routers.values() for route in router.routes if isinstance(route, APIRoute)]


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
    bodies = [
        (route.path, model)
        for route in list_routes(modules)
        for parameter in route.dependant.body_params
        for top in list_models(parameter.field_info.annotation)
        for model in (list_models(top.model_fields["root"].annotation) if issubclass(top, RootModel) else [top])
    ]

    assert bodies
    assert [(path, model.__qualname__) for path, model in bodies if not issubclass(model, RequestModel)] == []


def test_every_pattern_is_explained_in_both_languages(modules: list[Any]) -> None:
    """Of bodies, however deep, and of the parameters of routes."""
    bodies = reach(iter([*list_subclasses(RequestModel), *(channel.content for channel in CHANNELS)]))
    parameters: list[TypeAdapter[Any]] = [
        TypeAdapter(cast("Any", Annotated[parameter.field_info.annotation, parameter.field_info]))
        for route in list_routes(modules)
        for parameter in (
            *route.dependant.path_params,
            *route.dependant.query_params,
            *route.dependant.header_params,
            *route.dependant.body_params,
        )
    ]
    core_schemas = [
        *(model.__pydantic_core_schema__ for model in bodies),
        *(parameter.core_schema for parameter in parameters),
    ]

    assert {pattern for core_schema in core_schemas for pattern in list_patterns(core_schema)} == PATTERNS.keys()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_text_that_does_not_match_is_refused_in_the_words_of_its_pattern(pattern: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        TypeAdapter(Annotated[str, Field(pattern=pattern)]).validate_python("\0")
    answers = [refuse_fields(wrong.value.errors()).answer(english=english)["detail"] for english in (False, True)]

    assert [said in answer for said, answer in zip(PATTERNS[pattern], answers, strict=True)] == [True, True]
