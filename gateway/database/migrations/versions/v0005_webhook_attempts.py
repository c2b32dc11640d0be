"""Webhooks: the result of each attempt, and why an endpoint was disabled after days of failures."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("cn_endpoints", sa.Column("disabled_because", sa.String(64)))
    op.add_column("cn_endpoints", sa.Column("delivered_at", sa.Float))
    op.add_column("cn_deliveries", sa.Column("tries", sa.JSON))
    op.create_index("cn_deliveries_of_endpoint", "cn_deliveries", ["endpoint_id", "created_at"])


def downgrade() -> None:
    """Drop the columns."""
    op.drop_index("cn_deliveries_of_endpoint", "cn_deliveries")
    op.drop_column("cn_deliveries", "tries")
    op.drop_column("cn_endpoints", "delivered_at")
    op.drop_column("cn_endpoints", "disabled_because")
