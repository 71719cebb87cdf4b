"""An index in the order in which the feeder sends questions. It is built after the migration (`db.migrate`)."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    op.drop_index("ix_job_questions_question_id", table_name="job_questions")
    op.drop_index("ix_job_questions_pending", table_name="job_questions")


def downgrade() -> None:
    op.drop_index("ix_job_questions_pending", table_name="job_questions", if_exists=True)
    op.create_index("ix_job_questions_pending", "job_questions", ["job_id", "question_id"], postgresql_where=PENDING)
    op.create_index("ix_job_questions_question_id", "job_questions", ["question_id"])
