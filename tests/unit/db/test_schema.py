"""The revisions of the schema are known without Alembic."""

from pathlib import Path

from alembic.script import ScriptDirectory

import migrations
from db.schema import revisions


def test_the_revisions_are_those_of_alembic_in_its_order() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert revisions() == [script.revision for script in scripts.walk_revisions()][::-1]
