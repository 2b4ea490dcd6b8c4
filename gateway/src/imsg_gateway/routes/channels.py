"""What administrators do with channels and their providers."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import WithJsonSchema
from starlette.responses import Response

from imsg_contract.roles import ADMINISTRATORS, OPERATORS, READERS
from imsg_gateway.authorization import allow
from imsg_gateway.channel_schemas import ChannelAnswer, ChannelPatch, ChannelsAnswer, ProviderTest, StatusAnswer
from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.dependencies import GatewayServices
from imsg_gateway.routes.messages import SENDING
from imsg_gateway.routing import PublicRoute, RelayRoute
from imsg_gateway.schemas import METHOD, SendAnswer
from imsg_gateway.status_findings import name_part
from imsg_web.responses import ApiResponse, ok, prefers_english
from imsg_web.schemas import describe_refusals

Method = Annotated[str, WithJsonSchema(METHOD)]

router = APIRouter(prefix="/api/v2", route_class=PublicRoute)
relayed = APIRouter(prefix="/api/v2", route_class=RelayRoute, include_in_schema=False)


@router.get("/channels", response_model=ChannelsAnswer, responses=describe_refusals())
async def list_channels(
    user: Annotated[Credential, allow("channels")], request: ClientRequest, services: GatewayServices
) -> Response:
    """Show how each channel is."""
    return await services.channels.list(request, user)


@router.get("/status", response_model=StatusAnswer, responses=describe_refusals("no_right"))
async def show_status(
    reader: Annotated[Credential, allow("channels", READERS)], request: ClientRequest, services: GatewayServices
) -> Response:
    """Show what runs and what is wrong, the worst first, each fault with its next step."""
    replicas, findings = await services.status.find(request, await reader.authenticate())
    english = prefers_english(request.language)
    return ApiResponse(
        ok(
            level=findings[0].level,
            replicas=[
                {
                    "service": replica.service,
                    "replica": replica.replica,
                    "version": replica.version,
                    "since": replica.since.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "lacks": replica.unmet,
                }
                for replica in replicas
            ],
            findings=[
                {
                    "part": finding.part,
                    "name": finding.name,
                    "title": name_part(finding).choose(english=english),
                    "level": finding.level,
                    "state": finding.state.choose(english=english),
                    "remedy": finding.remedy.choose(english=english) if finding.remedy else None,
                }
                for finding in findings
            ],
        )
    )


@router.patch(
    "/channels/{method}", response_model=ChannelAnswer, responses=describe_refusals("no_right", "missing", "not_found")
)
async def pause_channel(
    operator: Annotated[Credential, allow("channels", OPERATORS)],
    request: ClientRequest,
    method: Method,
    body: ChannelPatch,
    services: GatewayServices,
) -> Response:
    """Pause or resume a channel."""
    return await services.channels.pause(request, operator, method, paused=body.paused, reason=body.reason or "")


@relayed.patch("/providers/{method}/{name}")
async def switch_provider(
    administrator: Annotated[Credential, allow("providers", ADMINISTRATORS)],
    request: ClientRequest,
    method: str,
    name: str,
    services: GatewayServices,
) -> Response:
    """Relay a change of a provider to auth, which stores it; see there."""
    if "settings" not in request.fields and "kind" not in request.fields:
        await services.channels.check_provider(method, name, weighs=request.fields.get("weight") is not None)
    response = await services.relay.pass_on("auth", request, administrator)
    if request.fields.get("enabled") is False:
        await services.channels.wait_for_switch(response)
    return response


@router.post(
    "/providers/{method}/{name}/test",
    status_code=202,
    response_model=SendAnswer,
    responses=describe_refusals("no_right", "not_found", *SENDING),
)
async def test_provider(  # noqa: PLR0917  FastAPI passes them by their names
    administrator: Annotated[Credential, allow("providers", ADMINISTRATORS)],
    request: ClientRequest,
    method: Method,
    name: str,
    body: ProviderTest,
    services: GatewayServices,
) -> Response:
    """Send one message by this provider alone."""
    await services.channels.check_provider(method, name)
    await services.channels.record_test(administrator, method, name)
    return await services.sending.test(request, administrator, method, name, body.to)
