"""Who the identity provider knows: links, groups, provisioned users; who has left."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
oldest_code = "0014"


def upgrade() -> None:
    op.add_column("person", sa.Column("left_at", sa.BigInteger))
    op.create_table(
        "directory_link",
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("issuer", sa.String(400), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("directory_link_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "issuer", "subject", name=op.f("directory_link_pk")),
    )
    op.create_index("directory_link_user_ix", "directory_link", ["org_id", "user_id"])
    op.create_table(
        "directory_group",
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("directory_group_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "user_id", "name", name=op.f("directory_group_pk")),
    )
    op.create_table(
        "leaver_key",
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("key_id", sa.String(26), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("leaver_key_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "user_id", "key_id", name=op.f("leaver_key_pk")),
    )
    op.create_table(
        "scim_user",
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("user_name", sa.String(320), nullable=False),
        sa.Column("user_name_key", sa.String(320), nullable=False),
        sa.Column("external_id", sa.String(400), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("scim_user_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("scim_user_pk")),
        sa.UniqueConstraint("org_id", "user_name_key", name=op.f("scim_user_org_id_user_name_key_uq")),
    )
    op.create_index("scim_user_external_ix", "scim_user", ["org_id", "external_id"])
    op.create_index("scim_user_user_ix", "scim_user", ["org_id", "user_id"])
    op.create_table(
        "scim_group",
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("display_name", sa.String(400), nullable=False),
        sa.Column("external_id", sa.String(400), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("scim_group_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("scim_group_pk")),
        sa.UniqueConstraint("org_id", "display_name", name=op.f("scim_group_org_id_display_name_uq")),
    )
    op.create_table(
        "scim_member",
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("group_id", sa.String(26), nullable=False),
        sa.Column("member_id", sa.String(26), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("scim_member_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "group_id", "member_id", name=op.f("scim_member_pk")),
    )
    op.create_index("scim_member_member_ix", "scim_member", ["org_id", "member_id"])
