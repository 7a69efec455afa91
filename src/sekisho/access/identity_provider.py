"""What the operator says of the identity provider: values only, so that nothing is imported for them."""

import msgspec


class OidcSettings(msgspec.Struct, frozen=True):
    """What the operator says of the identity provider. `user_claim`: whose value names a new user; `groups_claim`: by
    its name, or as a path with dots; `name`: what the button says. `trusts_email`: addresses of which the provider does
    not say whether it has verified them are taken as verified."""

    issuer: str
    client_id: str
    client_secret: str = ""
    scopes: str = "openid profile email"
    user_claim: str = "preferred_username"
    groups_claim: str = "groups"
    name: str = ""
    trusts_email: bool = False

    def __repr__(self) -> str:
        return f"OidcSettings({self.issuer}, {self.client_id}, ***)"
