"""Print docs/sql.md from the comments in the database: `python docs/make_sql.py > docs/sql.md` with a stack up."""

from sqlalchemy import text

from db.session import transaction
from db.views import VIEWS

INTRODUCTION = """Their columns are kept stable. Made from the comments in the database.

`tracemill sql "select …"` runs one statement. `tracemill sql -f query.sql` reads it from a file, and without a query it
is read from standard input. `--csv` and `--json` print for programs. A CSV cell that begins like a formula gets a
leading `'`, unless `--raw` is given. The role can read these views and nothing else.

`tracemill sql --url` prints the role's address, password included, for other programs:

```
psql "$(tracemill sql --url)"
```

```python
import pandas, psycopg, subprocess

url = subprocess.check_output(["tracemill", "sql", "--url"], text=True).strip()
traces = pandas.read_sql("select * from trace_scores", psycopg.connect(url))
```

DBeaver takes host, port, database, user and password of that address one by one (a connection of type PostgreSQL)."""

COLUMNS = text(
    "select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, "
    "col_description(a.attrelid, a.attnum) as comment from pg_attribute a "
    "where a.attrelid = cast(:view as regclass) and a.attnum > 0 order by a.attnum"
)


def page() -> str:
    """The whole page, as Markdown."""
    lines = ["# The views", "", INTRODUCTION, ""]
    with transaction() as connection:
        for view in VIEWS:
            about = connection.execute(text("select obj_description(cast(:view as regclass))"), {"view": view}).scalar()
            lines += [f"## {view}", "", str(about), "", "| column | type | what it is |", "|---|---|---|"]
            columns = connection.execute(COLUMNS, {"view": view})
            lines += [f"| `{column.name}` | {column.type} | {column.comment} |" for column in columns]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
