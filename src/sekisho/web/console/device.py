"""Letting a command line in: its person types the short code, sees who asks from where, and decides."""

from dataclasses import dataclass

from starlette.responses import Response

from sekisho.access.device_login import DeviceLogins, TooManyTries
from sekisho.errors import NotFound
from sekisho.web.admin.services import Services
from sekisho.web.console.drawing import Drawing
from sekisho.web.console.edge import Visit, read_form
from sekisho.web.console.page import Page


def device_pages(services: Services, drawing: Drawing) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Device(services, drawing)
    return (Page("device", pages.show), Page("device", pages.decide, method="POST"))


@dataclass
class _Device:
    """One method for each page."""

    services: Services
    drawing: Drawing

    @property
    def _devices(self) -> DeviceLogins:
        return self.services.sign_in.devices

    async def show(self, visit: Visit) -> Response:
        """The field for the code; with a code, who asks, and the two buttons."""
        code = visit.request.query_params.get("code", "")[:40]
        if not code or visit.session is None or not visit.user_id:
            return self._page(visit)
        try:
            login = await self._devices.look(code, visit.session.principal)
        except (NotFound, TooManyTries) as error:
            return self._refused(visit, error)
        return self._page(visit, code=code, login=login)

    async def decide(self, visit: Visit) -> Response:
        """Let it in, or not."""
        form = await read_form(visit)
        if form is None or visit.session is None or not visit.user_id:
            return self.drawing.failed(visit, 403, "")
        is_approved = form.get("answer") == "approve"
        try:
            await self._devices.decide(form.get("code", ""), visit.session.principal, is_approved=is_approved)
        except (NotFound, TooManyTries) as error:
            return self._refused(visit, error)
        return self._page(visit, done="approved" if is_approved else "denied")

    def _refused(self, visit: Visit, error: NotFound | TooManyTries) -> Response:
        if isinstance(error, TooManyTries):
            return self._page(visit, status=429, problem="wait", wait_s=error.wait_s)
        return self._page(visit, status=400, problem="unknown")

    def _page(
        self,
        visit: Visit,
        *,
        status: int = 200,
        code: str = "",
        login: object = None,
        problem: str = "",
        wait_s: int = 0,
        done: str = "",
    ) -> Response:
        return self.drawing.page(
            visit, "device.html", status=status, code=code, login=login, problem=problem, wait_s=wait_s, done=done
        )
