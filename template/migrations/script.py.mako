<%!
def body(operations):
    """Leave out the comments of Alembic that ask to be removed."""
    lines = [line for line in (operations or "").splitlines() if not line.strip().startswith("# ###")]
    return "\n".join(lines).strip() or "pass"
%>\
"""${message[:1].upper() + message[1:]}."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision: str = ${repr(up_revision)}
down_revision: str | Sequence[str] | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    """Go forward."""
    ${body(upgrades)}


def downgrade() -> None:
    """Go back."""
    ${body(downgrades)}
