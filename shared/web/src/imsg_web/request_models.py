"""The base of every object that a request's body may hold, at any depth."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from imsg_web.responses import UNKNOWN_FIELD


class RequestModel(BaseModel):
    """An object of a body: nothing is coerced, and a field that nothing reads is refused by its name.

    v1 ignores such fields: its gateway hands on what is known.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:  # noqa: ANN401  any JSON
        if isinstance(given, Mapping):
            known = cls.list_names()
            unknown = next((name for name in given if name not in known), None)
            if unknown is not None:
                raise PydanticCustomError(
                    UNKNOWN_FIELD, "nothing reads {name}", {"name": unknown, "known": sorted(known)}
                )
        return given

    @classmethod
    def list_names(cls) -> set[str]:
        """Return the names of its fields in JSON."""
        return {field.alias or name for name, field in cls.model_fields.items()}
