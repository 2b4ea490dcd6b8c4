"""A person's copy, for administrators; the gateway begins one, since it gathers what other services keep."""

from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import Response

from imsg_history.exports import NewExport
from imsg_history.routes.dependencies import HistoryServices
from imsg_history.schemas import ExportAnswer
from imsg_web.authorization import Administrator, InternalRoute
from imsg_web.responses import ApiResponse, ok
from imsg_web.schemas import describe_refusals

FILE = {"description": "The file.", "content": {"application/json": {"schema": {"type": "object"}}}}

router = APIRouter(prefix="/api/exports", route_class=InternalRoute)
internal = APIRouter(prefix="/internal/exports", route_class=InternalRoute, include_in_schema=False)


@internal.post("")
async def begin_export(administrator: Administrator, body: NewExport, services: HistoryServices) -> ApiResponse:
    """Make a person's copy."""
    return ApiResponse(ok(id=await services.exports.begin(body, administrator)))


@router.get("/{id}", response_model=ExportAnswer, responses=describe_refusals("not_found", "no_right"))
async def show_export(_: Administrator, id: str, services: HistoryServices) -> ApiResponse:  # noqa: A002  its name in the path
    """Show how far a person's copy is."""
    return ApiResponse(ok(**await services.exports.show(id)))


@router.get("/{id}/file", response_class=Response, responses={200: FILE, **describe_refusals("not_found", "no_right")})
async def get_export_file(
    administrator: Administrator,
    id: str,  # noqa: A002  its name in the path
    services: HistoryServices,
    part: Annotated[int, Header(alias="x-imsg-part", include_in_schema=False)] = 0,
) -> Response:
    """Fetch a person's copy."""
    part_of_file = await services.exports.read_part(id, part)
    await services.audit.record_read(administrator, "export_fetched", id)
    headers = {
        "content-disposition": f'attachment; filename="{part_of_file.filename}"',
        "x-imsg-parts": str(part_of_file.parts),
        "cache-control": "private, no-store",
    }
    return Response(part_of_file.body, 200, headers, part_of_file.media_type)
