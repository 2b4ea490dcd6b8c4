"""The bodies that history's URLs take."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, WithJsonSchema

from imsg_channels import METHODS, require_method
from imsg_contract.errors import Refusal
from imsg_runtime.request_models import RequestModel


def _address(given: object) -> object:
    if given is None:
        raise Refusal("missing", field="to")
    if not isinstance(given, str):
        raise Refusal("recipients_invalid", why_zh="to 应是一个地址", why_en="to must be one address")
    return given


class ErasureAsked(RequestModel):
    """POST /api/v2/erasures: whose data is to be erased."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "smtp", "to": "zhang.san@example.com"}]})

    method: Annotated[str, BeforeValidator(require_method), WithJsonSchema({"type": "string", "enum": [*METHODS]})]
    to: Annotated[
        str,
        BeforeValidator(_address),
        WithJsonSchema({"type": "string", "description": "One address; of mail, in whatever case."}),
    ]
