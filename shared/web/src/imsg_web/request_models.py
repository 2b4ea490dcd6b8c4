"""The base model of every object in a request's body."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from imsg_web.responses import UNKNOWN_FIELD


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
