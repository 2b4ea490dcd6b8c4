"""The routes of templates, which the gateway relays."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from imsg_catalog.templates.schemas import (
    NewTemplate,
    ParamShape,
    PublishRequest,
    TemplateAnswer,
    TemplateDeleted,
    TemplateLine,
    TemplatePatch,
    TemplatePreview,
    TemplatePreviewAnswer,
    TemplatesAnswer,
    TemplatesQuery,
    TemplateVersion,
    TemplateVersionsAnswer,
    VersionsQuery,
    time_of,
)
from imsg_catalog.templates.service import Templates
from imsg_catalog.templates.store import Template, Version
from imsg_contract import error_responses
from imsg_web.authorization import InternalRoute, Sender, User
from imsg_web.schemas import describe_refusals

router = APIRouter(prefix="/api/templates", route_class=InternalRoute)


async def find_templates(request: Request) -> Templates:
    """Return the templates that the app holds."""
    templates: Templates = request.app.state.templates
    return templates


CatalogTemplates = Annotated[Templates, Depends(find_templates)]


@router.get("", responses=describe_refusals("wrong_type"))
async def list_templates(
    user: User, query: Annotated[TemplatesQuery, Query()], templates: CatalogTemplates
) -> TemplatesAnswer:
    """List the templates that one may send by: those of the settings, then one's own and shared ones by their names."""
    rows = await templates.page(user, query.cursor or "", query.limit)
    settings = [] if query.cursor else await templates.list_settings()
    following = rows[-1][0].name if len(rows) == query.limit else None
    return TemplatesAnswer(templates=[*settings, *(_show_line(*row) for row in rows)], next=following)


@router.post("", responses=describe_refusals("no_right", *error_responses.BODY, "template_taken"))
async def add_template(user: Sender, body: NewTemplate, templates: CatalogTemplates) -> TemplateAnswer:
    """Add a template as a draft, checked against what the providers say."""
    return _show(*await templates.add(user, body))


@router.get("/{name}", responses=describe_refusals("not_found", "wrong_type"))
async def read_template(
    user: User, name: str, templates: CatalogTemplates, version: Annotated[int | None, Query(ge=1)] = None
) -> TemplateAnswer:
    """Show a template in its last version, or in another; versions of a deleted one can still be read."""
    return _show(*await templates.find(user, name, version))


@router.patch("/{name}", responses=describe_refusals("no_right", "not_found", *error_responses.BODY))
async def change_template(user: Sender, name: str, body: TemplatePatch, templates: CatalogTemplates) -> TemplateAnswer:
    """Change the draft of a template; sends use the published version until the next publish."""
    return _show(*await templates.change(user, name, body))


@router.delete("/{name}", responses=describe_refusals("no_right", "not_found"))
async def delete_template(user: Sender, name: str, templates: CatalogTemplates) -> TemplateDeleted:
    """Delete a template. What waits is sent all the same, and its versions stay readable."""
    await templates.delete(user, name)
    return TemplateDeleted()


@router.get("/{name}/versions", responses=describe_refusals("not_found", "wrong_type"))
async def list_template_versions(
    user: User, name: str, query: Annotated[VersionsQuery, Query()], templates: CatalogTemplates
) -> TemplateVersionsAnswer:
    """List the versions of a template, the newest first."""
    rows = await templates.list_versions(user, name, query.cursor, query.limit)
    following = str(rows[-1].version) if len(rows) == query.limit else None
    return TemplateVersionsAnswer(versions=[_show_version(row) for row in rows], next=following)


@router.post("/{name}/publish", responses=describe_refusals("no_right", "not_found", *error_responses.BODY))
async def publish_template(
    user: Sender, name: str, templates: CatalogTemplates, body: PublishRequest | None = None
) -> TemplateAnswer:
    """Publish the last version for sends, or an earlier one again."""
    return _show(*await templates.publish(user, name, None if body is None else body.version))


@router.post(
    "/{name}/preview", responses=describe_refusals("no_right", "not_found", "method_unknown", *error_responses.BODY)
)
async def preview_template(
    user: Sender, name: str, body: TemplatePreview, templates: CatalogTemplates
) -> TemplatePreviewAnswer:
    """Show what would be sent, byte for byte."""
    return await templates.preview(user, name, body)


def _show(template: Template, version: Version) -> TemplateAnswer:
    return TemplateAnswer.model_validate(
        {
            **_show_common(template, version),
            "languages": {language: dict(methods) for language, methods in version.languages.items()},
        }
    )


def _show_line(template: Template, version: Version) -> TemplateLine:
    languages = {language: list(methods) for language, methods in version.languages.items()}
    return TemplateLine.model_validate({**_show_common(template, version), "languages": languages})


def _show_common(template: Template, version: Version) -> dict[str, object]:
    return {
        "name": template.name,
        "category": version.category.value,
        "shared": template.shared,
        "username": template.username,
        "default_language": version.default_language,
        "params": [ParamShape.of(param) for param in version.params],
        "version": version.version,
        "published": template.published,
        "state": "draft" if version.published_ms is None else "published",
        "created_at": time_of(template.created_ms),
        "updated_at": time_of(version.updated_ms),
    }


def _show_version(version: Version) -> TemplateVersion:
    return TemplateVersion(
        version=version.version,
        state="draft" if version.published_ms is None else "published",
        username=version.username,
        updated_at=time_of(version.updated_ms),
        published_at=None if version.published_ms is None else time_of(version.published_ms),
    )
