"""`tracemill db roles` on a new server: who may migrate, who may work, who may only read."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch
from urllib.parse import quote

import psycopg
import pytest
from typer.testing import CliRunner

from cli import archive
from cli.doctor_services import services
from cli.main import app
from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import additions, change, fill, rows, value, wait_until
from tests.integration.measured import benchmark, measured, teach
from tests.integration.rounds import job, new_round, question, round_spec, trace
from tests.integration.scripted import check, scripted_factory, start_all, wait_for
from tests.integration.server import PASSWORD, new_server, replica_of
from tracemill.errors import UsageError
from tracemill.roles import APPLICATION
from tracemill.settings import settings
from tracemill.stack import Stack
from trainer.select.choose import select

pytestmark = pytest.mark.integration

PASSWORDS = {"owner": "a'quoted\"pass", "app": "app-pass", "reader": "reader-pass"}


class Server(NamedTuple):
    admin: str
    #: host:port
    host: str
    log: Path

    def address(self, role: str, password: str, scheme: str = "postgresql") -> str:
        return f"{scheme}://{role}:{quote(password)}@{self.host}/factory"

    def connect(self, role: str, password: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.address(role, password), autocommit=True)


@pytest.fixture(scope="module")
def server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with our database and roles. The settings name it instead of the stack's; Redis is the stack's."""
    folder = tmp_path_factory.mktemp("server")
    with new_server(folder) as admin, pytest.MonkeyPatch.context() as patch:
        made = Server(admin, admin.split("@")[1].split("/")[0], folder / "data.log")
        patch.setenv("TRACEMILL_ADMIN_URL", admin)
        patch.setenv("TRACEMILL_DIRECT_URL", made.address("mill_owner", PASSWORDS["owner"], "postgresql+psycopg"))
        patch.setenv("TRACEMILL_DATABASE_URL", made.address("mill_app", PASSWORDS["app"], "postgresql+psycopg"))
        patch.setenv("TRACEMILL_READER_URL", made.address("tracemill_reader", PASSWORDS["reader"]))
        forget()
        try:
            for command in ("roles", "upgrade"):
                done = CliRunner().invoke(app, ["db", command])
                assert done.exit_code == 0, done.exception
                assert "superuser" not in done.stdout
            yield made
        finally:
            forget()


def test_the_processes_work_with_the_role_of_the_application(server: Server, tmp_path: Path) -> None:
    with scripted_factory(tmp_path) as processes:
        fill(additions(5), "sums")
        start_all(processes)
        wait_for("sums")
    check("sums", 5)
    assert rows("select distinct tableowner from pg_tables where schemaname = 'public'") == [("mill_owner",)]


def test_a_round_selects_its_traces_with_the_role_of_the_application(server: Server) -> None:
    with transaction() as connection:
        ids = [question(connection, f"What is {n} + 1?", "selected") for n in range(2)]
        taught = job(connection, "teach", ids)
        for question_id in ids:
            trace(connection, taught, question_id, f"right {question_id}")
        spec = round_spec()
        assert select(connection, new_round(connection, spec), spec).kept == 2


@pytest.mark.parametrize(
    "refused",
    [
        "create table mine (x int)",
        "alter table traces drop column text",
        "drop view trace_scores",
        "truncate traces",
        "create function mine() returns int language sql as 'select 1'",
        "set role mill_owner",
        "alter role tracemill_reader superuser",
        "select lo_create(0)",
    ],
)
def test_the_application_cannot_change_the_schema(server: Server, refused: str) -> None:
    with (
        server.connect("mill_app", PASSWORDS["app"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(refused.encode())


@pytest.mark.parametrize("database", ["postgres", "template1"])
@pytest.mark.parametrize("role", ["mill_app", "tracemill_reader"])
def test_our_roles_reach_no_other_database(server: Server, role: str, database: str) -> None:
    password = PASSWORDS["app" if role == "mill_app" else "reader"]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(server.address(role, password), dbname=database)


def test_roles_sets_changed_passwords_and_logs_none(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(server.admin, autocommit=True) as admin:
        admin.execute("alter system set log_statement = 'all'")
        admin.execute("select pg_reload_conf()")
    monkeypatch.setenv("TRACEMILL_READER_URL", server.address("tracemill_reader", "another-pass"))
    forget()
    try:
        assert CliRunner().invoke(app, ["db", "roles"]).exit_code == 0
        server.connect("tracemill_reader", "another-pass").close()
    finally:
        monkeypatch.undo()
        forget()
        assert CliRunner().invoke(app, ["db", "roles"]).exit_code == 0
    log = server.log.read_text()
    assert "alter role" in log
    assert "another-pass" not in log


def test_an_administrator_without_superuser_learns_what_is_missing(server: Server) -> None:
    with psycopg.connect(server.admin, autocommit=True) as admin:
        admin.execute("create role hoster login createrole createdb password 'h'")
        admin.execute("grant connect on database postgres to hoster")
        admin.execute("grant mill_owner, mill_app, tracemill_reader to hoster with admin option")
    done = CliRunner().invoke(app, ["db", "roles", "--admin", f"postgresql://hoster:h@{server.host}/postgres"])
    assert done.exit_code == 0, done.exception
    assert "temp_file_limit = '10GB': permission denied to set parameter \"temp_file_limit\"" in done.stdout


def test_doctor_warns_of_a_reader_without_limits(server: Server) -> None:
    def reader() -> tuple[str, str, str]:
        findings = {finding.check: finding for finding in services(settings(), [])}
        return findings["reader role"].state, findings["reader role"].result, findings["reader role"].advice

    assert reader() == ("ok", "its sessions have limits", "")
    with psycopg.connect(server.admin, autocommit=True) as admin:
        admin.execute("alter role tracemill_reader connection limit -1")
        admin.execute("alter role tracemill_reader set statement_timeout = 0")
        admin.execute("alter role tracemill_reader reset temp_file_limit")
    try:
        missing = "tracemill_reader has no connection limit, no statement_timeout, no temp_file_limit"
        assert reader() == ("warning", missing, "tracemill db roles")
    finally:
        assert CliRunner().invoke(app, ["db", "roles"]).exit_code == 0
    assert reader()[0] == "ok"


def test_sessions_of_the_application_have_its_limits(server: Server) -> None:
    with server.connect("mill_app", PASSWORDS["app"]) as session:
        for name, limit in APPLICATION.items():
            assert session.execute("select current_setting(%s)", [name]).fetchone() == (limit,), name


@pytest.mark.parametrize(
    ("variable", "address", "message"),
    [
        ("DATABASE_URL", "postgresql://mill_owner:x@h/factory", "must name three roles"),
        ("READER_URL", "postgresql://someone:x@h/factory", "the last one tracemill_reader"),
        ("READER_URL", "postgresql://tracemill_reader@h/factory", "the address of tracemill_reader has no password"),
        ("DATABASE_URL", "postgresql://mill_app:x@h/other", "direct_url names the database factory"),
        ("ADMIN_URL", "postgresql://postgres:wrong@{host}/postgres", "password authentication failed"),
    ],
)
def test_wrong_addresses_are_refused_with_a_sentence(
    server: Server, monkeypatch: pytest.MonkeyPatch, variable: str, address: str, message: str
) -> None:
    monkeypatch.setenv(f"TRACEMILL_{variable}", address.format(host=server.host))
    forget()
    done = CliRunner().invoke(app, ["db", "roles"])
    monkeypatch.undo()
    forget()
    assert message in str(done.exception)


def test_a_superuser_is_no_role_of_the_factory(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_DIRECT_URL", server.address("postgres", PASSWORD))
    forget()
    done = CliRunner().invoke(app, ["db", "roles"])
    monkeypatch.undo()
    forget()
    assert isinstance(done.exception, UsageError)
    assert "postgres is a superuser" in str(done.exception)


def test_export_sql_and_report_read_from_a_replica(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction() as connection:
        question_id = question(connection, "What is 7 + 1?", "replicated")
        trace(connection, job(connection, "replicated", [question_id]), question_id, "7 + 1 = 8")
        benchmark(connection, "exam", [True, False])
        measured(connection, "replicated", {"exam": [True, True]}, teach(connection, name="taught"))
    with replica_of(server.admin, tmp_path) as replica:
        reader = f"postgresql://tracemill_reader:{PASSWORDS['reader']}@{replica.split('@')[1].split('/')[0]}/factory"
        monkeypatch.setenv("TRACEMILL_READER_URL", reader)
        forget()
        newest = value("select max(id) from traces")
        with psycopg.connect(reader, autocommit=True) as session:
            wait_until(lambda: session.execute("select max(trace_id) from trace_scores").fetchone() == (newest,))
            assert session.execute("select pg_is_in_recovery()").fetchone() == (True,)
        output = tmp_path / "replicated.jsonl"
        exported = CliRunner().invoke(app, ["export", str(output), "--where", "job = 'replicated'"])
        assert exported.exit_code == 0, exported.exception
        assert "7 + 1 = 8" in output.read_text()
        with psycopg.connect(replica, autocommit=True) as lagging:
            lagging.execute("select pg_wal_replay_pause()")
            change("update jobs set state = 'done' where name = 'replicated'")
            with patch.object(archive, "LAG_SECONDS", 0.5):
                late = CliRunner().invoke(app, ["archive", "replicated", "--to", str(tmp_path / "archive")])
            assert str(late.exception) == "the replica of reader_url lags behind: try again later"
            lagging.execute("select pg_wal_replay_resume()")
        archived = CliRunner().invoke(app, ["archive", "replicated", "--to", str(tmp_path / "archive")])
        assert archived.exit_code == 0, archived.exception
        assert "(1 traces)" in archived.stdout
        answer = CliRunner().invoke(app, ["sql", "--csv", "select traces from job_progress where job = 'replicated'"])
        assert answer.stdout.split() == ["traces", "1"]
        reported = CliRunner().invoke(app, ["report", "replicated", "--output", str(tmp_path / "report.html")])
        assert reported.exit_code == 0, reported.exception
    monkeypatch.undo()
    forget()
