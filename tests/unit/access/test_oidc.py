"""The relying party against an identity provider that is not our code: what it accepts, and all that it must not."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sekisho.access.directory import Arrival
from sekisho.access.identity_provider import OidcSettings
from sekisho.access.oidc import Entered, Oidc
from sekisho.access.sealing import Sealer
from sekisho.clock import FakeClock
from sekisho.errors import NotAllowed, NotAuthenticated, SekishoError, StoreUnavailable
from tests.oidc_provider import CLIENT, EC, OTHER, RSA, SECRET, OidcProvider


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def provider(clock: FakeClock) -> OidcProvider:
    return OidcProvider(clock)


def client(provider: OidcProvider, **settings: Any) -> Oidc:
    given: dict[str, Any] = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET} | settings
    sealer = Sealer(b"p" * 32)
    return Oidc(OidcSettings(**given), "https://sekisho.example.com", sealer, provider, provider.clock)


async def signed_in(oidc: Oidc, provider: OidcProvider, **changes: str) -> Entered:
    started = await oidc.start("/console/live")
    back = urlsplit(provider.authorize(started.address))
    answer = {name: values[0] for name, values in parse_qs(back.query).items()}
    return await oidc.finish(started.cookie, answer | changes)


async def code_of(doing: Any) -> str:
    """How it was refused."""
    with pytest.raises((NotAuthenticated, NotAllowed)) as refused:
        await doing
    return refused.value.param or ""


async def test_somebody_signs_in_with_a_code_a_verifier_and_a_nonce(provider):
    provider.claims = {
        "sub": "1",
        "preferred_username": "Alice@example.com",
        "name": "Alice",
        "email": "alice@example.com",
        "email_verified": True,
        "groups": ["dept-a", "leads"],
    }
    entered = await signed_in(client(provider), provider)
    assert entered.back == "/console/live"
    assert entered.arrival == Arrival(
        provider.issuer, "1", "Alice@example.com", "Alice", "alice@example.com", ("dept-a", "leads")
    )
    assert "s3cret" not in repr(client(provider).settings)


SHAPES: dict[str, Any] = {
    "entra": (
        {},
        {"oid": "8f", "tid": "t1", "ver": "2.0", "preferred_username": "alice@example.com", "groups": ["0a-1b"]},
        ("alice@example.com", ("0a-1b",)),
    ),
    "entra app roles": (
        {"groups_claim": "roles"},
        {"oid": "8f", "preferred_username": "alice@example.com", "roles": ["Sekisho.Admin"]},
        ("alice@example.com", ("Sekisho.Admin",)),
    ),
    "okta": (
        {},
        {"preferred_username": "alice@example.com", "amr": ["pwd", "mfa"], "groups": ["Everyone", "dept-a"]},
        ("alice@example.com", ("Everyone", "dept-a")),
    ),
    "keycloak": (
        {"groups_claim": "realm_access.roles"},
        {"preferred_username": "alice", "realm_access": {"roles": ["dept-a"]}, "azp": CLIENT, "typ": "ID"},
        ("alice", ("dept-a",)),
    ),
    "cognito": (
        {"user_claim": "cognito:username", "groups_claim": "cognito:groups"},
        {"cognito:username": "alice", "cognito:groups": ["dept-a"], "token_use": "id"},
        ("alice", ("dept-a",)),
    ),
    "no groups": ({}, {"preferred_username": "alice"}, ("alice", ())),
    "one group as a text": ({}, {"preferred_username": "alice", "groups": "dept-a"}, ("alice", ("dept-a",))),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_providers_shape_of_claims_is_read(provider, shape):
    settings, claims, expected = SHAPES[shape]
    provider.claims = {"sub": "1"} | claims
    arrival = (await signed_in(client(provider, **settings), provider)).arrival
    assert (arrival.user_name, arrival.groups) == expected


async def test_what_the_token_lacks_comes_from_the_user_info_of_the_same_person(provider):
    provider.claims = {"sub": "1"}
    person = {"preferred_username": "alice", "groups": ["dept-a"], "email": "a@example.com", "email_verified": "true"}
    provider.user_info = {"sub": "1"} | person
    arrival = (await signed_in(client(provider), provider)).arrival
    assert (arrival.user_name, arrival.groups, arrival.email) == ("alice", ("dept-a",), "a@example.com")
    provider.user_info = {"sub": "2", "preferred_username": "bob"}
    assert await code_of(signed_in(client(provider), provider)) == "userinfo"


@pytest.mark.parametrize("answer", [{"user_info_status": 500}, {"user_info_status": 401}, {"user_info": {"sub": "2"}}])
async def test_a_user_info_that_does_not_answer_is_not_taken_for_no_groups(provider, answer):
    provider.claims = {"sub": "1", "preferred_username": "alice"}
    for name, value in answer.items():
        setattr(provider, name, value)
    assert await code_of(signed_in(client(provider), provider)) == "userinfo"
    provider.claims |= {"groups": ["dept-a"], "email": "a@example.com"}  # it is not asked where nothing is missing
    assert (await signed_in(client(provider), provider)).arrival.groups == ("dept-a",)


async def test_a_user_info_without_the_claim_means_no_groups(provider):
    provider.claims = {"sub": "1", "preferred_username": "alice"}
    assert (await signed_in(client(provider), provider)).arrival.groups == ()
    assert "GET /userinfo" in provider.asked


async def test_the_user_info_vouches_for_no_other_address_than_its_own(provider):
    provider.claims = {"sub": "1", "preferred_username": "alice", "email": "boss@example.com"}
    provider.user_info = {"sub": "1", "groups": [], "email": "a@example.com", "email_verified": True}
    assert (await signed_in(client(provider), provider)).arrival.email == ""
    provider.user_info["email"] = "boss@example.com"
    assert (await signed_in(client(provider), provider)).arrival.email == "boss@example.com"


async def test_too_many_groups_are_not_taken_for_none(provider):
    provider.claims["_claim_names"] = {"groups": "src1"}
    assert await code_of(signed_in(client(provider), provider)) == "overage"


@pytest.mark.parametrize(
    "token",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": ["another", CLIENT], "azp": "another"},
        {"iss": "https://evil.example.com"},
        {"exp": 1},
        {"exp": None},
        {"iat": None},
        {"nbf": 9_999_999_999},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
)
async def test_a_token_that_is_not_for_this_sign_in_is_refused(provider, token):
    provider.token = token
    assert await code_of(signed_in(client(provider), provider)) == "token"


@pytest.mark.parametrize("alg", ["none", "HS256", "HS512"])
async def test_a_token_without_a_signature_of_the_provider_is_refused(provider, alg):
    provider.alg = alg
    assert await code_of(signed_in(client(provider), provider)) == "token"


async def test_a_key_that_is_not_published_is_refused_and_a_new_one_is_found(provider, clock):
    oidc = client(provider)
    await signed_in(oidc, provider)
    provider.key = OTHER
    assert await code_of(signed_in(oidc, provider)) == "token"
    provider.published = [OTHER]
    clock.advance(61)
    assert (await signed_in(oidc, provider)).arrival.subject == "1"
    keys_asked = provider.asked.count("GET /jwks")
    provider.key = RSA
    for _ in range(5):  # forged tokens do not make us ask again and again
        assert await code_of(signed_in(oidc, provider)) == "token"
    assert provider.asked.count("GET /jwks") == keys_asked


async def test_elliptic_curves_are_taken_too(provider):
    provider.key, provider.alg = EC, "ES256"
    assert (await signed_in(client(provider), provider)).arrival.subject == "1"


async def test_an_answer_belongs_to_the_browser_that_asked_and_to_ten_minutes(provider, clock):
    oidc = client(provider)
    assert await code_of(signed_in(oidc, provider, state="another")) == "late"
    mine, theirs = await oidc.start(""), await oidc.start("")
    back = urlsplit(provider.authorize(mine.address))
    answer = {name: values[0] for name, values in parse_qs(back.query).items()}
    assert await code_of(oidc.finish(theirs.cookie, answer)) == "late"
    assert await code_of(oidc.finish("", answer)) == "late"
    clock.advance(601)
    assert await code_of(oidc.finish(mine.cookie, answer)) == "late"


async def test_a_code_of_another_flow_fails_its_verifier(provider):
    oidc = client(provider)
    mine, theirs = await oidc.start(""), await oidc.start("")
    own = parse_qs(urlsplit(provider.authorize(mine.address)).query)
    stolen = parse_qs(urlsplit(provider.authorize(theirs.address)).query)
    answer = {"state": own["state"][0], "code": stolen["code"][0]}
    assert await code_of(oidc.finish(mine.cookie, answer)) == "token"


async def test_a_refusal_and_an_answer_of_another_provider_are_refused(provider):
    oidc = client(provider)
    assert await code_of(signed_in(oidc, provider, error="access_denied")) == "refused"
    assert await code_of(signed_in(oidc, provider, iss="https://evil.example.com")) == "token"
    assert (await signed_in(oidc, provider, iss=provider.issuer)).arrival.subject == "1"
    provider.discovery = {"authorization_response_iss_parameter_supported": True}
    assert await code_of(signed_in(client(provider), provider)) == "token"


async def test_the_secret_goes_where_the_provider_takes_it(provider):
    provider.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await signed_in(client(provider), provider)).arrival.subject == "1"
    assert await code_of(signed_in(client(provider, client_secret="wrong"), provider)) == "token"


@pytest.mark.parametrize(
    "discovery",
    [
        {"token_endpoint": "https://[::1"},
        {"issuer": "https://another.example.com"},
        {"token_endpoint": "http://id.example.com/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ],
)
async def test_a_provider_that_publishes_what_cannot_be_is_not_used(provider, discovery):
    provider.discovery = discovery
    with pytest.raises(StoreUnavailable):
        await client(provider).start("")


async def test_a_provider_over_plain_http_is_not_used(clock):
    with pytest.raises(SekishoError, match="https"):
        await client(OidcProvider(clock, issuer="http://id.example.com")).start("")


async def test_signing_out_leads_to_the_provider_if_it_offers_that(provider):
    address = urlsplit(await client(provider).end_address("token"))
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{provider.issuer}/logout"
    assert parse_qs(address.query) == {
        "id_token_hint": ["token"],
        "client_id": [CLIENT],
        "post_logout_redirect_uri": ["https://sekisho.example.com/console/sign-in?out"],
    }
    provider.discovery = {"end_session_endpoint": ""}
    assert await client(provider).end_address("token") == ""


@pytest.mark.parametrize("said", [False, "false", "no", 0, None, [], {}])
async def test_an_address_that_is_not_verified_names_nobody(provider, said):
    provider.claims = {"sub": "1", "email": "alice@example.com", "email_verified": said, "preferred_username": "a"}
    assert (await signed_in(client(provider), provider)).arrival.email == ""
    assert await code_of(signed_in(client(provider, user_claim="email"), provider)) == "claim"


async def test_a_provider_that_says_nothing_of_an_address_vouches_for_it_only_by_the_operators_word(provider):
    provider.claims = {"sub": "1", "email": "alice@example.com", "preferred_username": "a"}  # as Entra ID
    assert (await signed_in(client(provider), provider)).arrival.email == ""
    trusting = {"trusts_email": True}
    assert (await signed_in(client(provider, **trusting), provider)).arrival.email == "alice@example.com"
    by_email = trusting | {"user_claim": "email"}
    assert (await signed_in(client(provider, **by_email), provider)).arrival.user_name == "alice@example.com"
    provider.claims["email_verified"] = False  # what it does say is believed
    assert await code_of(signed_in(client(provider, **by_email), provider)) == "claim"
