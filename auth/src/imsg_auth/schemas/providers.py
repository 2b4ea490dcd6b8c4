"""The switches of channels' providers."""

from typing import Annotated

from pydantic import Field

from imsg_auth.schemas.fields import example
from imsg_web.request_models import RequestModel
from imsg_web.schemas import Success


class ProviderPatch(RequestModel):
    """PATCH /api/providers/METHOD/NAME: what is absent stays as it is, null is as the settings say."""

    model_config = example({"enabled": False})

    enabled: Annotated[bool | None, Field(description="Whether it carries anything.")] = None
    weight: Annotated[
        int | None,
        Field(
            ge=0,
            le=1_000,
            description="Its share beside the others'; 0: only where those say not now.",
        ),
    ] = None


class ProviderSwitchAnswer(Success):
    """The switch as it is now, in force at the senders within seconds; null: as the settings say."""

    method: str
    name: str
    enabled: bool | None
    weight: int | None
