"""The fields that several bodies have; an unknown field of a request is ignored."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from imsg_auth import usernames

PAGE = 50
"""Records of a page, unless the query says."""

NO_NUL = {"pattern": r"^[^\u0000]*$"}

Name = Annotated[str, AfterValidator(usernames.lookup_form), Field(json_schema_extra={**NO_NUL})]

AnyPassword = Annotated[str, AfterValidator(usernames.storable), Field(json_schema_extra={**NO_NUL})]

NewPassword = Annotated[
    str,
    AfterValidator(usernames.storable),
    Field(json_schema_extra={"minLength": usernames.MIN_PASSWORD, "maxLength": usernames.MAX_PASSWORD, **NO_NUL}),
]

Wechat = Annotated[
    str,
    AfterValidator(usernames.wechat),
    Field(
        description="A WeChat tag, 9 characters of which the last checks the others, hyphens apart. Empty: none.",
        json_schema_extra={"pattern": "^([0-9A-Za-z-]{9,32})?$"},
    ),
]


def example(fields: dict[str, object]) -> ConfigDict:
    """Return the part of a model's configuration that holds its example."""
    return ConfigDict(json_schema_extra=lambda schema: schema.update(examples=[fields]))
