"""Options of keys in one JSON document instead of one column each; and models that are being loaded."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_KEYS = sa.table("cn_keys", sa.column("id"), sa.column("strict", sa.Boolean), sa.column("options", sa.JSON))


def upgrade() -> None:
    """Move the column's values into the document, and create the table."""
    op.add_column("cn_keys", sa.Column("options", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("cn_keys", sa.Column("changes", sa.Integer, nullable=False, server_default="0"))
    for strict in (True, False):
        said = {"enterprise": {"strict": strict}}
        op.get_bind().execute(_KEYS.update().where(_KEYS.c.strict == strict).values(options=said))
    op.drop_column("cn_keys", "strict")
    op.create_table(
        "cn_loads",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("dialect", sa.String(32), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("kind", sa.String(64)),
        sa.Column("model", sa.String(64)),
        sa.Column("webhook", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("held_by", sa.String(64), nullable=False),
        sa.Column("held_until", sa.Float, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Move the one option that had a column back into it, and drop the table."""
    op.drop_table("cn_loads")
    op.add_column("cn_keys", sa.Column("strict", sa.Boolean))
    connection = op.get_bind()
    for id, options in connection.execute(sa.select(_KEYS.c.id, _KEYS.c.options)).all():
        strict = options.get("enterprise", {}).get("strict")
        connection.execute(_KEYS.update().where(_KEYS.c.id == id).values(strict=strict))
    op.drop_column("cn_keys", "changes")
    op.drop_column("cn_keys", "options")
