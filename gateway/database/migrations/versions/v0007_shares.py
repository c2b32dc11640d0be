"""Shares of owners: how many bytes an owner stores here."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_STORED = "UPDATE cn_assets SET stored = size WHERE id NOT IN (SELECT name FROM cn_places)"


def upgrade() -> None:
    """Add the columns; files that are not in an owner's own storage are stored here."""
    op.add_column("cn_jobs", sa.Column("input_bytes", sa.Integer, nullable=False, server_default="0"))
    op.add_column("cn_assets", sa.Column("stored", sa.Integer, nullable=False, server_default="0"))
    op.execute(_STORED)
    op.create_index("cn_assets_stored", "cn_assets", ["owner", "stored"])
    op.create_index("cn_deliveries_of_owner", "cn_deliveries", ["owner", "status"])


def downgrade() -> None:
    """Drop the columns."""
    op.drop_index("cn_deliveries_of_owner", "cn_deliveries")
    op.drop_index("cn_assets_stored", "cn_assets")
    op.drop_column("cn_assets", "stored")
    op.drop_column("cn_jobs", "input_bytes")
