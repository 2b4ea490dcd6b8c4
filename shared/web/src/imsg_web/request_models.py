"""The base model of every object in a request's body."""

from collections.abc import Mapping
from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from imsg_web.responses import UNKNOWN_FIELD, field_error


def _refuse_null(value: object) -> object:
    if value is None:
        raise field_error("不能为 null；不改则不写这一项", "it can't be null; leave it out where it is to stay")
    return value


def _hide_null(schema: dict[str, Any]) -> None:
    (other,) = (choice for choice in schema.pop("anyOf") if choice != {"type": "null"})
    schema.pop("default", None)
    schema.update(other)


NOT_NULL = AfterValidator(_refuse_null)
HIDE_NULL = Field(json_schema_extra=_hide_null)
"""For a field of a PATCH that always has a value: it may be left out; null, which unsets others, is refused."""


class RequestModel(BaseModel):
    """An object of a body: values are not coerced, and an unknown field is refused by its name.

    v1 ignores unknown fields: the gateway passes on only known ones.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, value: Any) -> Any:  # noqa: ANN401  any JSON
        if isinstance(value, Mapping):
            known = cls.list_names()
            unknown = next((name for name in value if name not in known), None)
            if unknown is not None:
                raise PydanticCustomError(
                    UNKNOWN_FIELD, "nothing reads {name}", {"name": unknown, "known": sorted(known)}
                )
        return value

    @classmethod
    def list_names(cls) -> set[str]:
        """Return the names of its fields in JSON."""
        return {field.alias or name for name, field in cls.model_fields.items()}
