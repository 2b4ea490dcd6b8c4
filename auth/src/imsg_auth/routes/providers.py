"""What administrators switch at the channels' providers; the gateway knows which providers there are."""

import re
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter
from pydantic import WithJsonSchema

from imsg_auth.routes.dependencies import AuthServices, FreshLogin
from imsg_auth.schemas.providers import ProviderPatch, ProviderSwitchAnswer
from imsg_channels import METHODS
from imsg_contract.error_responses import BODY
from imsg_contract.errors import Refusal
from imsg_web.authorization import Administrator, InternalRoute
from imsg_web.schemas import describe_refusals

PROVIDER_NAME = re.compile(r"[\w.-]{1,64}")
"""A name in the settings: a mail server's, an account's, a robot's."""

MAX_SHOWN = 80
"""Characters of an unknown name that an answer repeats."""

Method = Annotated[str, WithJsonSchema({"type": "string", "enum": [*METHODS]})]

router = APIRouter(prefix="/api/providers", route_class=InternalRoute)


@router.patch(
    "/{method}/{name}",
    dependencies=[FreshLogin],
    responses=describe_refusals("no_right", "log_in_again", *BODY, "not_found"),
)
async def switch_provider(
    administrator: Administrator, method: Method, name: str, body: ProviderPatch, services: AuthServices
) -> ProviderSwitchAnswer:
    """Switch a provider on or off, or change its share."""
    if method not in METHODS or not PROVIDER_NAME.fullmatch(name):
        raise Refusal("not_found", what=f"{method}/{name}"[:MAX_SHOWN])
    values = body.model_dump(exclude_unset=True)
    if not values:
        raise Refusal("missing", field="enabled")
    switch = await services.switches.change(administrator, method, name, values)
    return ProviderSwitchAnswer(**asdict(switch))
