"""The examples of the OpenAPI document: of every body, what its schema shows; of every success, a real answer."""

import json
from importlib.resources import files
from typing import Any

from imsg_gateway.openapi.references import REF, Json, references

_NAMED = {
    "id": "0193643f5a7c7d3e8f1a2b3c4d5e6f70",
    "username": "zhang.san",
    "tag": "7K3-M9Q-2XH",
    "name": "default",
    "event": "evt_0193643f5a7c7d3e8f1a2b3c4d5e6f70-0-2",
}
"""Name in a path → what it may be."""


def add(document: Json) -> Json:
    """Return the document with an example of each request and each success."""
    answers: Json = json.loads(files("imsg_gateway").joinpath("reader", "answers.json").read_text(encoding="utf-8"))
    schemas = document["components"]["schemas"]
    paths = {
        path: {verb: _illustrate(operation, schemas, answers) for verb, operation in verbs.items()}
        for path, verbs in document["paths"].items()
    }
    return {**document, "paths": paths}


def _illustrate(operation: Json, schemas: Json, answers: Json) -> Json:
    illustrated = dict(operation)
    if body := operation.get("requestBody"):
        illustrated["requestBody"] = {
            **body,
            "content": _add_examples(body["content"], _list_examples(body["content"], schemas)),
        }
    if parameters := operation.get("parameters"):
        illustrated["parameters"] = [_name_parameter(parameter) for parameter in parameters]
    answer = answers.get(operation["operationId"])
    if answer is not None:
        illustrated["responses"] = {
            status: {**response, "content": _add_examples(response["content"], [answer])}
            if status.startswith("2") and "content" in response
            else response
            for status, response in operation["responses"].items()
        }
    return illustrated


def _list_examples(content: Json, schemas: Json) -> list[Any]:
    """List the examples of a body's schema, or of the schemas it is a choice of."""
    (name,) = references(content)
    choices = [choice["$ref"].removeprefix(REF) for choice in schemas[name].get("oneOf", ())] or [name]
    return [example for choice in choices for example in schemas[choice].get("examples", ())]


def _add_examples(content: Json, examples: list[Any]) -> Json:
    if not examples:
        return content
    named = {_name(example, n): {"value": example} for n, example in enumerate(examples, start=1)}
    return {**content, "application/json": {**content["application/json"], "examples": named}}


def _name(example: Any, n: int) -> str:  # noqa: ANN401  any JSON
    if isinstance(example, dict) and "content" in example and (method := example.get("method")):
        return f"{method}, {example['category']}" if "category" in example else method
    return "example" if n == 1 else f"example {n}"


def _name_parameter(parameter: Json) -> Json:
    if parameter["in"] == "path" and parameter["name"] in _NAMED:
        return {**parameter, "example": _NAMED[parameter["name"]]}
    return parameter
