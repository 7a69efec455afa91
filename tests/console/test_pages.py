"""The console over HTTP: who may see what, what a browser may do with it, and what is escaped."""

import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from sekisho.errors import StoreUnavailable
from sekisho.web.console.router import create_console_router
from tests.console.fakes import CODE, INFO, NOW_US, REFUSED, RUNNING, FakeQueries, FakeSessions, make_call, make_calls

FORM = {"content-type": "application/x-www-form-urlencoded"}


class Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def row_ids(self) -> list[str]:
        return [str(row["data-id"]) for row in self.named("tr") if "data-id" in row]


def csrf_of(text: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', text)
    assert found
    return found[1]


class TestSigningIn:
    def test_without_a_session_every_page_leads_to_sign_in(self, visitor: TestClient) -> None:
        for path in ("/console", "/console/calls/01m6nr0000000000000000000a", "/console/nothing"):
            answer = visitor.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")
        assert "sekisho console" in visitor.get("/console/sign-in").text

    def test_the_bare_address_leads_to_the_console(self, visitor: TestClient) -> None:
        answer = visitor.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/console")

    def test_opening_the_link_does_not_spend_it(self, visitor: TestClient, sessions: FakeSessions) -> None:
        assert visitor.get(f"/console/enter?code={CODE}").status_code == 200
        assert visitor.get(f"/console/enter?code={CODE}").status_code == 200
        assert sessions.codes == {CODE}

    def test_the_button_spends_the_link_and_opens_a_session(self, visitor: TestClient) -> None:
        page = visitor.get(f"/console/enter?code={CODE}")
        answer = visitor.post("/console/enter", data={"code": CODE, "csrf": csrf_of(page.text)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/console")
        cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith("sekisho_session="))
        assert {"HttpOnly", "SameSite=strict", "Path=/console"} <= set(cookie.split("; "))
        assert visitor.get("/console/live").status_code == 200

    def test_a_spent_link_says_so(self, visitor: TestClient) -> None:
        page = visitor.get(f"/console/enter?code={CODE}")
        visitor.post("/console/enter", data={"code": CODE, "csrf": csrf_of(page.text)})
        visitor.cookies.clear()
        page = visitor.get(f"/console/enter?code={CODE}")
        answer = visitor.post("/console/enter", data={"code": CODE, "csrf": csrf_of(page.text)})
        assert answer.status_code == 403
        assert "This link does not work" in answer.text

    def test_signing_out_ends_the_session(self, alice: TestClient, sessions: FakeSessions) -> None:
        answer = alice.post("/console/sign-out", data={"csrf": csrf_of(alice.get("/console/live").text)})
        assert answer.headers["location"] == "/console/sign-in?out"
        assert sessions.open == {}

    def test_a_script_without_a_session_gets_401(self, visitor: TestClient) -> None:
        answer = visitor.get("/console/calls/changes?after=0", headers={"accept": "application/json"})
        assert answer.status_code == 401


class TestForms:
    @pytest.mark.parametrize("path", ["/console/sign-out", "/console/language", "/console/theme", "/console/enter"])
    @pytest.mark.parametrize("csrf", [None, "", "0" * 64, "é"])
    def test_a_form_without_the_right_token_changes_nothing(
        self, alice: TestClient, sessions: FakeSessions, path: str, csrf: str | None
    ) -> None:
        fields = {"value": "ja", "code": CODE} | ({} if csrf is None else {"csrf": csrf})
        assert alice.post(path, data=fields).status_code == 403
        assert sessions.codes == {CODE}
        assert len(sessions.open) == 1

    def test_a_form_from_another_site_is_refused_even_with_the_token(self, alice: TestClient) -> None:
        token = csrf_of(alice.get("/console/live").text)
        answer = alice.post("/console/sign-out", data={"csrf": token}, headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403

    def test_a_token_of_one_session_is_no_good_in_another(self, alice: TestClient, sessions: FakeSessions) -> None:
        token = csrf_of(alice.get("/console/live").text)
        alice.cookies.clear()
        alice.cookies.set("sekisho_session", sessions.start("bob"), path="/console")
        assert alice.post("/console/sign-out", data={"csrf": token}).status_code == 403

    def test_a_form_is_bounded(self, alice: TestClient) -> None:
        assert alice.post("/console/theme", content=b"a" * 20_000, headers=FORM).status_code == 413

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("/console/live?status=refused", "/console/live?status=refused"),
            ("/console/calls/x", "/console/calls/x"),
            ("https://elsewhere.example/console", "/console"),
            ("//elsewhere.example/console", "/console"),
            ("/console\\@elsewhere.example", "/console"),
            ("/consoles", "/console"),
            ("///console/live", "/console"),
            ("//[::1", "/console"),
            (" /console/live", "/console"),
            ("javascript:/console/", "/console"),
            ("/console\r\nset-cookie: a=b", "/console"),
            ("", "/console"),
        ],
    )
    def test_a_choice_goes_back_inside_the_console_only(self, alice: TestClient, given: str, kept: str) -> None:
        fields = {"csrf": csrf_of(alice.get("/console/live").text), "value": "dark", "next": given}
        answer = alice.post("/console/theme", data=fields)
        assert (answer.status_code, answer.headers["location"]) == (303, kept)

    def test_language_and_theme_stay(self, alice: TestClient) -> None:
        token = csrf_of(alice.get("/console/live").text)
        alice.post("/console/theme", data={"csrf": token, "value": "dark"})
        alice.post("/console/language", data={"csrf": token, "value": "ja"})
        assert '<html lang="ja" data-theme="dark">' in alice.get("/console/live").text

    def test_an_unknown_language_is_refused(self, alice: TestClient) -> None:
        token = csrf_of(alice.get("/console/live").text)
        assert alice.post("/console/language", data={"csrf": token, "value": "xx"}).status_code == 403


class TestHeaders:
    PATHS = ("/console/live", "/console/sign-in", "/console/nothing", "/console/calls/changes", "/console/enter?code=a")

    @pytest.mark.parametrize("path", PATHS)
    def test_every_answer_has_the_strict_policy(self, alice: TestClient, path: str) -> None:
        headers = alice.get(path).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("path", PATHS)
    def test_no_page_needs_what_the_policy_forbids(self, alice: TestClient, path: str) -> None:
        tags = Tags(alice.get(path).text)
        assert all("style" not in attributes for _, attributes in tags.tags)
        assert all(not name.startswith("on") for _, attributes in tags.tags for name in attributes)
        assert all(script.get("src") for script in tags.named("script"))
        assert not tags.named("style")

    def test_files_are_named_by_content_and_kept_for_ever(self, visitor: TestClient) -> None:
        tags = Tags(visitor.get("/console/sign-in").text)
        addresses = [str(tag["href"]) for tag in tags.named("link")] + [str(tag["src"]) for tag in tags.named("script")]
        assert len(addresses) == 4
        for address in addresses:
            answer = visitor.get(address)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert visitor.get("/console/assets/console.css").status_code == 404

    @pytest.mark.parametrize("is_https", [True, False])
    def test_cookies_are_secure_where_the_console_is_behind_https(self, is_https: bool) -> None:
        app = FastAPI()
        info = msgspec.structs.replace(INFO, is_https=is_https)
        app.include_router(create_console_router(FakeQueries(), FakeSessions(), info=info))
        with TestClient(app) as client:
            cookie = client.get("/console/sign-in").headers["set-cookie"]
        assert ("Secure" in cookie.split("; ")) == is_https


class TestLiveCalls:
    def test_rows_come_newest_first(self, alice: TestClient) -> None:
        ids = Tags(alice.get("/console/live").text).row_ids()
        assert ids == sorted((call.call_id for call in make_calls()), reverse=True)

    def test_the_address_filters(self, alice: TestClient, queries: FakeQueries) -> None:
        ids = Tags(alice.get("/console/live?status=refused&agent=cline").text).row_ids()
        assert ids == [
            call.call_id
            for call in sorted(queries.calls.values(), key=lambda call: call.call_id, reverse=True)
            if call.status == "refused" and call.agent == "cline"
        ]
        assert ids

    def test_pages_meet_without_a_gap_or_a_double(self, alice: TestClient, queries: FakeQueries) -> None:
        queries.calls = {call.call_id: call for call in make_calls(120)}
        seen: list[str] = []
        address: str | None = "/console/live?model=claude-sonnet-4-6"
        while address:
            tags = Tags(alice.get(address).text)
            seen += tags.row_ids()
            address = next((str(link["href"]) for link in tags.named("a") if link.get("rel") == "next"), None)
        expected = [call.call_id for call in queries.calls.values() if call.model == "claude-sonnet-4-6"]
        assert seen == sorted(expected, reverse=True)

    @pytest.mark.parametrize(
        ("address", "leads_to"),
        [
            ("/console/", "/console"),
            ("/console/live/?status=ok", "/console/live?status=ok"),
            ("/console//x/", "/console//x"),
        ],
    )
    def test_a_slash_at_the_end_is_no_other_page(self, alice: TestClient, address: str, leads_to: str) -> None:
        answer = alice.get(address, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, leads_to)

    def test_an_empty_ledger_says_what_to_do(self, alice: TestClient, queries: FakeQueries) -> None:
        queries.calls = {}
        text = alice.get("/console/live").text
        assert "Nothing has passed yet" in text
        assert "sekisho setup cline" in text

    def test_a_filter_without_a_match_offers_to_clear_it(self, alice: TestClient) -> None:
        text = alice.get("/console/live?agent=nobody").text
        assert "No call fits these filters" in text

    def test_the_simulator_is_named_on_every_page(self, alice: TestClient) -> None:
        for path in ("/console/live", "/console/sign-in", "/console/nothing", "/console/enter"):
            text = alice.get(path).text
            assert "Answers are made up by the simulator" in text

    def test_names_are_escaped_and_isolated(self, alice: TestClient, queries: FakeQueries) -> None:
        evil = '"><script>alert(1)</script>{{ 7*7 }}\u202e'
        fields = {name: evil for name in ("user_id", "key_alias", "agent", "agent_version", "model", "deployment")}
        call = queries.put(make_call(900, NOW_US, **{**REFUSED, **fields, "message": evil}))
        for path in ("/console/live", "/console/live?agent=" + evil, f"/console/calls/{call.call_id}"):
            text = alice.get(path).text
            assert "<script>alert" not in text
            assert "{{ 7*7 }}" in text
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert '<bdi class="b">&#34;&gt;&lt;script&gt;' in alice.get("/console/live").text

    def test_no_text_is_missing_in_either_language(self, alice: TestClient, queries: FakeQueries) -> None:
        for language in ("ja", "en"):
            for call in queries.calls.values():
                answer = alice.get(f"/console/calls/{call.call_id}", headers={"accept-language": language})
                assert answer.status_code == 200


class TestChanges:
    def test_what_changed_comes_with_the_new_mark(self, alice: TestClient, queries: FakeQueries) -> None:
        before = queries._last()
        new = queries.put(make_call(500, NOW_US, **RUNNING))
        answer = alice.get(f"/console/calls/changes?after={before}").json()
        assert [row["id"] for row in answer["rows"]] == [new.call_id]
        assert answer["after"] == new.change_seq
        assert answer["more"] is False
        assert "In progress" in answer["rows"][0]["html"]

    def test_nothing_new_keeps_the_mark(self, alice: TestClient, queries: FakeQueries) -> None:
        last = queries._last()
        answer = alice.get(f"/console/calls/changes?after={last}").json()
        assert (answer["after"], answer["rows"], answer["band"]) == (last, [], None)

    def test_a_call_that_left_the_filter_comes_without_a_row(self, alice: TestClient, queries: FakeQueries) -> None:
        call = queries.put(make_call(500, NOW_US))
        answer = alice.get(f"/console/calls/changes?after={call.change_seq - 1}&status=running").json()
        assert answer["rows"] == [{"id": call.call_id, "html": None}]

    def test_many_changes_come_in_parts_without_a_loss(self, alice: TestClient, queries: FakeQueries) -> None:
        queries.calls = {call.call_id: call for call in make_calls(450)}
        seen: list[str] = []
        after, more = 0, True
        while more:
            answer = alice.get(f"/console/calls/changes?after={after}").json()
            seen += [row["id"] for row in answer["rows"]]
            after, more = answer["after"], answer["more"]
        assert sorted(seen) == sorted(queries.calls)

    def test_the_figures_come_when_asked_for(self, alice: TestClient) -> None:
        assert "$160.38 today" in alice.get("/console/calls/changes?after=0&band=1").json()["band"]

    @pytest.mark.parametrize("after", ["", "-1", "x", "1e9", "9" * 40])
    def test_a_mark_that_is_none_counts_from_the_start(self, alice: TestClient, after: str) -> None:
        assert len(alice.get("/console/calls/changes", params={"after": after}).json()["rows"]) == 40


class TestOneCall:
    def test_a_refusal_shows_stage_reason_and_words(self, alice: TestClient, queries: FakeQueries) -> None:
        call = queries.put(make_call(700, NOW_US, **REFUSED))
        for path in (f"/console/calls/{call.call_id}", f"/console/calls/{call.call_id}/detail"):
            text = alice.get(path).text
            assert "Not enough budget" in text
            assert "The daily budget of team-a has $0.12 left" in text
            assert text.count('<li class="stop">') == 1
            assert text.count('<li class="off">') == 2

    def test_an_estimate_is_marked(self, alice: TestClient, queries: FakeQueries) -> None:
        call = queries.put(make_call(701, NOW_US, is_metered=False, cost_nanousd=243_100_000))
        assert "≤\N{NO-BREAK SPACE}$0.2431" in alice.get(f"/console/calls/{call.call_id}").text

    @pytest.mark.parametrize("call_id", ["0" * 26, "x", "%2e%2e%2fx", "0" * 300, "%00"])
    def test_no_such_call_is_404_in_the_readers_language(self, alice: TestClient, call_id: str) -> None:
        answer = alice.get(f"/console/calls/{call_id}", headers={"accept-language": "ja"})
        assert answer.status_code == 404
        assert "そのページはありません" in answer.text
        assert "alice" in answer.text


class TestFailures:
    def test_a_store_that_cannot_be_read_is_503_with_a_reference(
        self, alice: TestClient, queries: FakeQueries, caplog: pytest.LogCaptureFixture
    ) -> None:
        queries.error = StoreUnavailable("disk I/O error at /secret/path")
        answer = alice.get("/console/live")
        assert answer.status_code == 503
        assert "/secret/path" not in answer.text
        reference = re.search(r"Reference ([0-9a-f]{10})", answer.text)
        assert reference
        assert reference[1] in caplog.text

    def test_a_fault_of_ours_is_500_and_hides_its_cause(self, alice: TestClient, queries: FakeQueries) -> None:
        queries.error = RuntimeError("secret detail")
        answer = alice.get("/console/live")
        assert answer.status_code == 500
        assert "secret detail" not in answer.text
        assert answer.headers["content-security-policy"]

    def test_a_session_store_that_fails_lets_nobody_in(self, alice: TestClient, sessions: FakeSessions) -> None:
        sessions.error = StoreUnavailable()
        answer = alice.get("/console/live")
        assert answer.status_code == 503
        assert "tr data-id" not in answer.text


class TestZone:
    @pytest.mark.parametrize(
        ("zone", "shown"),
        [
            ("", "Times are in Asia/Tokyo."),
            ("Europe%2FLondon", "Times are in Europe/London."),
            ("../../etc/passwd", "Times are in Asia/Tokyo."),
            ("Nowhere/At_All", "Times are in Asia/Tokyo."),
            ("x" * 5000, "Times are in Asia/Tokyo."),
        ],
    )
    def test_times_are_in_the_zone_of_the_browser(self, alice: TestClient, zone: str, shown: str) -> None:
        alice.cookies.set("sekisho_zone", zone, path="/console")
        assert shown in alice.get("/console/live").text


class TestLanguage:
    @pytest.mark.parametrize(
        ("accepted", "language"),
        [
            ("ja", "ja"),
            ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
            ("fr,en;q=0.5,ja;q=0.9", "ja"),
            ("de-DE", "en"),
            ("", "en"),
            ("x;q=bad,ja;q=0.1", "ja"),
        ],
    )
    def test_the_browser_decides_at_first(self, visitor: TestClient, accepted: str, language: str) -> None:
        text = visitor.get("/console/sign-in", headers={"accept-language": accepted}).text
        assert f'<html lang="{language}">' in text

    def test_choices_lead_back_to_the_same_address(self, alice: TestClient) -> None:
        page = alice.get("/console/live?status=refused&agent=cline").text
        assert 'name="next" value="/console/live?status=refused&amp;agent=cline"' in page
        chips = [str(link["href"]) for link in Tags(page).named("a") if "status" in str(link["href"])]
        assert any(parse_qs(urlsplit(chip).query) == {"status": ["refused"]} for chip in chips)
