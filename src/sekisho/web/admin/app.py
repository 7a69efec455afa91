"""The control plane's web application: every router, one shape of errors."""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI

from sekisho import __version__
from sekisho.web.admin.audit import audit_router
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.bodies import StrictBodies
from sekisho.web.admin.budgets import budgets_router
from sekisho.web.admin.cache import cache_router
from sekisho.web.admin.calls import calls_router
from sekisho.web.admin.content import content_deletion_router, content_router
from sekisho.web.admin.conversations import conversations_router
from sekisho.web.admin.declarations import declarations_router
from sekisho.web.admin.device import device_router
from sekisho.web.admin.errors import handle_errors
from sekisho.web.admin.events import events_router
from sekisho.web.admin.explain import explain_router
from sekisho.web.admin.hand_overs import hand_overs_router
from sekisho.web.admin.internal import internal_router
from sekisho.web.admin.keys import keys_router
from sekisho.web.admin.limits import limits_router
from sekisho.web.admin.litellm_activity import litellm_activity_router
from sekisho.web.admin.litellm_budgets import litellm_budgets_router, litellm_tags_router
from sekisho.web.admin.litellm_keys import litellm_keys_router
from sekisho.web.admin.litellm_organization import litellm_organization_router
from sekisho.web.admin.litellm_reports import litellm_global_router, litellm_reports_router
from sekisho.web.admin.litellm_rotation import litellm_rotation_router
from sekisho.web.admin.litellm_spend import litellm_spend_router
from sekisho.web.admin.litellm_teams import litellm_teams_router
from sekisho.web.admin.litellm_users import litellm_users_router
from sekisho.web.admin.openapi import describe_api
from sekisho.web.admin.operations import operations_router
from sekisho.web.admin.organisation import tags_router, teams_router, users_router
from sekisho.web.admin.people import roles_router, tokens_router
from sekisho.web.admin.policies import policies_router
from sekisho.web.admin.reporting import reporting_router
from sekisho.web.admin.services import Services
from sekisho.web.admin.settings import settings_router
from sekisho.web.admin.sign_in import accounts_router, sign_in_router
from sekisho.web.admin.spend import spend_router
from sekisho.web.admin.status import status_router
from sekisho.web.admin.tasks import tasks_router
from sekisho.web.scim.router import scim_router


def create_admin_app(services: Services, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """The application over these services; `routers` are those of other rooms, such as the console."""
    app = FastAPI(
        title="Sekisho",
        version=__version__,
        openapi_url="/admin/v1/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # it would lead to the host that a request names
    )
    authority = Authority(services)
    handle_errors(app, services.clock)
    app.add_middleware(StrictBodies)
    described: list[APIRouter] = []
    for make in (
        internal_router,
        keys_router,
        teams_router,
        users_router,
        tags_router,
        roles_router,
        tokens_router,
        hand_overs_router,
        settings_router,
        reporting_router,
        sign_in_router,
        accounts_router,
        budgets_router,
        limits_router,
        policies_router,
        explain_router,
        audit_router,
        declarations_router,
        calls_router,
        tasks_router,
        cache_router,
        content_router,
        content_deletion_router,
        conversations_router,
        spend_router,
        events_router,
        status_router,
        operations_router,
        litellm_keys_router,
        litellm_teams_router,
        litellm_users_router,
        litellm_budgets_router,
        litellm_tags_router,
        litellm_spend_router,
        litellm_reports_router,
        litellm_global_router,
        litellm_activity_router,
        litellm_rotation_router,
        litellm_organization_router,
    ):
        described.append(make(services, authority))
        app.include_router(described[-1])
    app.include_router(device_router(services, authority))
    app.include_router(scim_router(services, authority))
    for router in routers:
        app.include_router(router)
    describe_api(app, described)
    return app
