"""How people get in: sessions, local accounts, the directory, device login, failures."""

import sqlalchemy as sa

from sekisho.store.sql.tables.schema import metadata

login_code = sa.Table(
    "login_code",
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False, server_default=""),  # empty: the operator
)

console_session = sa.Table(
    "console_session",
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False, server_default=""),  # empty: the operator
    sa.Column("id", sa.String(26), nullable=False, server_default=""),
    sa.Column("method", sa.String(20), nullable=False, server_default="link"),
    sa.Column("seen_at", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("address", sa.String(64), nullable=False, server_default=""),
    sa.Column("agent", sa.String(200), nullable=False, server_default=""),
    sa.Column("id_token", sa.LargeBinary),  # of the identity provider, sealed
    sa.Index("console_session_user_ix", "org_id", "user_id"),
)

local_account = sa.Table(
    "local_account",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("password", sa.String(200), nullable=False),  # a digest; empty: none set
    sa.Column("password_at", sa.BigInteger, nullable=False),
    sa.Column("totp", sa.LargeBinary, nullable=False),  # the secret, sealed; empty: no second factor
    sa.Column("totp_at", sa.BigInteger, nullable=False),
    sa.Column("totp_step", sa.BigInteger, nullable=False),  # of the code used last
)

recovery_code = sa.Table(
    "recovery_code",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
)

directory_link = sa.Table(
    "directory_link",  # which account of the identity provider is which user
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("issuer", sa.String(400), primary_key=True),
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index("directory_link_user_ix", "org_id", "user_id"),
)

directory_group = sa.Table(
    "directory_group",  # the groups that a user was in when the identity provider said so last
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("name", sa.String(400), primary_key=True),
)

leaver_key = sa.Table(
    "leaver_key",  # the keys that were blocked because their user left
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("key_id", sa.String(26), primary_key=True),
)

scim_user = sa.Table(
    "scim_user",  # what the directory provisioned; what it says of groups is in scim_member
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("user_name", sa.String(320), nullable=False),
    sa.Column("user_name_key", sa.String(320), nullable=False),  # without differences of case
    sa.Column("external_id", sa.String(400), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),  # the attributes, as they are given back
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("org_id", "user_name_key"),
    sa.Index("scim_user_external_ix", "org_id", "external_id"),
    sa.Index("scim_user_user_ix", "org_id", "user_id"),
)

scim_group = sa.Table(
    "scim_group",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("display_name", sa.String(400), nullable=False),
    sa.Column("external_id", sa.String(400), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("org_id", "display_name"),
)

scim_member = sa.Table(
    "scim_member",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("group_id", sa.String(26), primary_key=True),
    sa.Column("member_id", sa.String(26), primary_key=True),  # a scim_user
    sa.Index("scim_member_member_ix", "org_id", "member_id"),
)

device_login = sa.Table(
    "device_login",  # a command line that waits for its person to let it in
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("user_code", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("client", sa.String(100), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("polled_at", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False),
)

sign_in_failure = sa.Table(
    "sign_in_failure",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("name", sa.String(400), primary_key=True),  # which counter: see access.lockout
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("wait_until", sa.BigInteger, nullable=False),
    sa.Column("failed_at", sa.BigInteger, nullable=False, index=True),
)
