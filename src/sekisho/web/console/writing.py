"""Changes what a form asks for: through the admin API, called in memory with the person as principal.

So a page can do nothing that the admin API would not, says what the admin API says, and leaves the same audit entry.
Forms come by htmx: what is accepted leads to a page with a toast, what is not comes back as the sentence to show.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from starlette.responses import Response

from sekisho.access.roles import Principal
from sekisho.web.admin.authority import PRINCIPAL
from sekisho.web.console.edge import SAID_COOKIE, Edge, Visit, safe_return
from sekisho.web.console.language import Words
from sekisho.web.problems import in_japanese


class Answer(msgspec.Struct, frozen=True):
    """What the admin API answered. `body` is its JSON, None for none."""

    status: int
    body: Any

    @property
    def is_good(self) -> bool:
        return self.status < 400

    def problem(self, words: Words) -> str:
        """Why not, in the reader's language."""
        return in_words(str(self.body["error"]["message"]) if isinstance(self.body, dict) else "", words)


def in_words(said: str, words: Words) -> str:
    """Why something is refused, in the reader's language where the sentence is known in it, else as it is said."""
    if words.language == "en" or not said:
        return said or str(words("problem.unknown"))
    return in_japanese(said) or str(words("problem.untranslated", said=said)).replace("&#39;", "'")


async def ask_admin(visit: Visit, who: Principal, method: str, path: str, body: Any = None) -> Answer:
    """Let the admin API of this application do something as this principal. `path`: as in an address, quoted."""
    sent = b"" if body is None else json.dumps(body).encode()
    parts: list[bytes] = []
    status = 500

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": sent, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    plain, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(plain),
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(sent)).encode())],
        "client": None,
        "server": None,
        PRINCIPAL: who,
    }
    await visit.request.app(scope, receive, send)
    content = b"".join(parts)
    return Answer(status, json.loads(content) if content else None)


def done(edge: Edge, form: Mapping[str, str], text: str, **values: str) -> Response:
    """Back to the page that the form was on, with a toast: the text `said.<text>` with these values."""
    where = quote(safe_return(form.get("next", "")), safe="/?#&=%+,:;@!$'()*~")  # a header takes no other letters
    response = Response(status_code=204, headers={"HX-Redirect": where})
    said = msgspec.json.encode({"text": f"said.{text}", "values": values}).hex()
    edge.set_cookie(response, SAID_COOKIE, said, max_age_s=60)
    return response


def refused(problem: str, status: int = 422) -> Response:
    """The sentence for the dialog that the form is in; a script puts it there (console.js)."""
    headers = {"HX-Reswap": "none", "HX-Trigger": json.dumps({"sekisho:problem": problem}), "Cache-Control": "no-store"}
    return Response(status_code=422 if status == 400 else status, headers=headers)
