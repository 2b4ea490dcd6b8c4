"""What a service says of its URLs in OpenAPI 3.1, made when somebody asks: the gateway merges it into its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from imsg_contract import error_responses

Json = dict[str, Any]

Fields = Mapping[str, Mapping[str, Any]]
"""Name → schema."""

_REF = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Described:
    """One URL and verb."""

    answer: type[BaseModel]
    reasons: tuple[str, ...] = ()
    """Why it may refuse."""
    takes: type[BaseModel] | None = None
    query: Fields = field(default_factory=dict)
    """Schemas of the query's fields."""
    names: Fields = field(default_factory=dict)
    """Schemas of names in the path, where they are more than text."""
    success: int = 200


def describe(title: str, table: Mapping[tuple[str, str], Described]) -> Json:
    """Describe the URLs of a table, by verb and path."""
    paths: Json = {}
    for (verb, path), one in table.items():
        paths.setdefault(path, {})[verb.lower()] = _describe(path, one)
    asked = {one.takes for one in table.values() if one.takes is not None}
    answers = {one.answer for one in table.values()}
    _, defined = models_json_schema(
        [
            *((model, "validation") for model in sorted(asked, key=_name)),
            *((model, "serialization") for model in sorted(answers, key=_name)),
        ],
        ref_template=_REF + "{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": paths,
        "components": {"schemas": {name: _leave_out_null(schema) for name, schema in defined.get("$defs", {}).items()}},
    }


def _describe(path: str, one: Described) -> Json:
    operation: Json = {}
    parameters: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", **one.names.get(name, {}), "title": name.title()},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in one.query.items()]
    if parameters:
        operation["parameters"] = parameters
    if one.takes is not None:
        operation["requestBody"] = {"required": True, "content": _content(one.takes)}
    success = {"description": "Successful Response", "content": _content(one.answer)}
    operation["responses"] = {str(one.success): success, **error_responses.describe(one.reasons)}
    return operation


def _leave_out_null(schema: Json) -> Json:
    """Leave out that a field is null where it is not given: that it need not be is said already."""
    if "properties" not in schema:
        return schema
    fields = {
        name: {key: value for key, value in one.items() if key != "default" or value is not None}
        for name, one in schema["properties"].items()
    }
    return {**schema, "properties": fields}


def _content(model: type[BaseModel]) -> Json:
    return {"application/json": {"schema": {"$ref": _REF + model.__name__}}}


def _name(model: type[BaseModel]) -> str:
    return model.__name__
