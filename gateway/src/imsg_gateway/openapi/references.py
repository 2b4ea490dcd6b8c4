"""References between the schemas of an OpenAPI document: followed, and renamed."""

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

REF = "#/components/schemas/"


def references(node: Any) -> set[str]:  # noqa: ANN401  any JSON
    """Return the names of the schemas that a part of a document refers to."""
    if isinstance(node, dict):
        inner = {name for value in node.values() for name in references(value)}
        reference = node.get("$ref")
        return inner | ({reference.removeprefix(REF)} if isinstance(reference, str) else set())
    return {name for item in node for name in references(item)} if isinstance(node, list) else set()


def reach(names: Iterable[str], schemas: Mapping[str, Any]) -> set[str]:
    """Return the names of these schemas and of all that they refer to, directly or not."""
    reached: set[str] = set()
    waiting = set(names)
    while waiting:
        reached |= waiting
        waiting = {name for known in waiting for name in references(schemas[known])} - reached
    return reached


def rename(node: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401  any JSON
    """Point every reference to a renamed schema to its new name."""
    if isinstance(node, dict):
        return {key: _new_name(key, value, names) for key, value in node.items()}
    return [rename(item, names) for item in node] if isinstance(node, list) else node


def _new_name(key: str, value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401
    if isinstance(value, str) and value.startswith(REF):
        # Also in a discriminator's mapping, where the reference is the value of a choice.
        return REF + names.get(value.removeprefix(REF), value.removeprefix(REF))
    del key
    return rename(value, names)
