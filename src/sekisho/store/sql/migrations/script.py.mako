"""${message}"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
# oldest_code = "0003"  # if code with this HEAD can work with the schema after it: see store/sql/migrate.py


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
