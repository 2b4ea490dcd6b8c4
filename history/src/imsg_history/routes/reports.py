"""The routes of reports: readers of usage and messages make them and fetch their files."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from imsg_contract.error_responses import BODY
from imsg_history.report_files import MEDIA_TYPES
from imsg_history.report_schemas import NewReport, ReportAnswer, ReportBegun, ReportsAnswer, ReportsQuery
from imsg_history.routes.dependencies import HistoryServices
from imsg_web.authorization import InternalRoute, User
from imsg_web.responses import ApiResponse, ok
from imsg_web.schemas import describe_refusals

OBSTACLES = ("missing", "wrong_type", "method_unknown", "no_right", "too_many_reports")

FILE = {
    "description": "The file.",
    "content": {
        kind.partition(";")[0]: {"schema": {"type": "object"} if name == "json" else {"type": "string"}}
        for name, kind in MEDIA_TYPES.items()
    },
}

router = APIRouter(prefix="/api/reports", route_class=InternalRoute)


@router.post("", status_code=202, responses=describe_refusals(*BODY, *OBSTACLES))
async def begin_report(user: User, body: NewReport, services: HistoryServices) -> ReportBegun:
    """Make a report of usage or of messages."""
    return ReportBegun(id=await services.reports.begin(body, user))


@router.get("", response_model=ReportsAnswer, responses=describe_refusals("wrong_type"))
async def list_reports(user: User, query: Annotated[ReportsQuery, Query()], services: HistoryServices) -> ApiResponse:
    """List one's own reports, the newest first."""
    page = await services.reports.find(query, user)
    return ApiResponse(ok(reports=page.rows, next=page.next))


@router.get("/{id}", response_model=ReportAnswer, responses=describe_refusals("not_found"))
async def show_report(user: User, id: str, services: HistoryServices) -> ApiResponse:  # noqa: A002  its name in the path
    """Show a report and its progress."""
    return ApiResponse(ok(**await services.reports.show(id, user)))


@router.get("/{id}/file", response_class=Response, responses={200: FILE, **describe_refusals("not_found")})
async def get_report_file(
    user: User,
    id: str,  # noqa: A002  its name in the path
    services: HistoryServices,
    part: Annotated[int, Header(alias="x-imsg-part", include_in_schema=False)] = 0,
) -> Response:
    """Fetch the file of a report.

    The gateway asks for the file part by part, so that no service holds all of it.
    """
    part_of_file = await services.reports.read_part(id, part, user)
    await services.audit.record_read(user, "report_fetched", id)
    headers = {
        "content-disposition": f'attachment; filename="{part_of_file.filename}"',
        "x-imsg-parts": str(part_of_file.parts),
        "cache-control": "private, no-store",
    }
    return Response(part_of_file.body, 200, headers, part_of_file.media_type)
