"""A worker that is disconnected during its work and later reconnected does no harm.

Each producer and worker runs on another host (`tests/chaos/hosts.py`) with a scripted model, as with an engine in
process. So a disconnected worker continues and has rows to store after its return. Its leases expire meanwhile, and
other workers repeat its work.
"""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests import ROOT
from tests.chaos.faults import leader_pid
from tests.chaos.hosts import HUB, NETWORK, Network, inside, network, refusal
from tests.chaos.model import HELD, tell, waits
from tests.chaos.world import World, environment, model_command, running
from tests.integration.factory import additions, change, fill, rows, states, value, wait_until
from tests.integration.scripted import check, wait_for
from tests.scripted_server import Fault
from tracemill import stack as local
from tracemill.keepalive import BROKEN
from tracemill.policy import Policy
from tracemill.processes import is_alive
from tracemill.stack import Program, Stack
from tracemill.stack.state import Folder, folder_of
from tracemill.stack.supervise import Supervisor

pytestmark = pytest.mark.integration

JOB, AFTERWARDS = "cut-off", "afterwards"
#: Questions that are asked after the reconnection.
MORE = 100
KINDS = ("producer", "generate", "verify")
HOSTS = tuple(f"{kind}-{number}" for kind in KINDS for number in (1, 2))
MODEL_PORT = 8001
#: Seconds until an answer of the teacher, and of the judge.
LATENCY = {"generate": 2.0, "verify": 0.1}
REFUSAL = refusal()

SETTINGS = """
generate_concurrency = 64
verify_concurrency = 4
[models.teacher]
engine = "openai"
openai.base_url = "http://127.0.0.1:{port}/v1"
model = "scripted"
[models.verifier]
engine = "openai"
openai.base_url = "http://127.0.0.1:{port}/v1"
model = "scripted"
[feeder]
window = 64
interval_seconds = 0.2
queued_lease_seconds = 5
running_lease_seconds = 3
verify_lease_seconds = 5
"""

#: Records each attempt to store a row, and whether it was kept: inserting an existing row raises no error.
WITNESS = """
create table stored (at timestamptz default clock_timestamp(), host text default host(inet_client_addr()),
                     what text, trace_id bigint, question_id bigint, sample_index int, kept bool);
create function witness() returns trigger language plpgsql as $$
begin
    insert into stored (what, trace_id, question_id, sample_index, kept)
    values (tg_table_name, (to_jsonb(new)->>'trace_id')::bigint, (to_jsonb(new)->>'question_id')::bigint,
            (to_jsonb(new)->>'sample_index')::int, tg_when = 'AFTER');
    return new;
end $$;
create trigger tried before insert on traces for each row execute function witness();
create trigger kept after insert on traces for each row execute function witness();
create trigger tried before insert on verdicts for each row execute function witness();
create trigger kept after insert on verdicts for each row execute function witness();
"""
#: Rows that a host tried to store late, after another host had stored them.
LATE = """
with s as (select stored.*, coalesce(stored.question_id, t.question_id) as question
           from stored left join traces t on t.id = stored.trace_id where what = :what)
select late.question, kept.host as keeper from s late join s kept
on kept.kept and kept.question = late.question and kept.trace_id is not distinct from late.trace_id
    and kept.sample_index is not distinct from late.sample_index
where not late.kept and late.host = :host and extract(epoch from late.at) > :since and kept.at < late.at
    and late.question = any(:questions)
"""


def test_missing_network_namespaces_are_reported() -> None:
    """A warning for a machine without namespaces, where the other tests of this file are skipped."""
    if REFUSAL:
        warnings.warn(f"CUT-OFF WORKERS WERE NOT TESTED: {REFUSAL}", stacklevel=1)


def test_the_leftovers_of_a_killed_run_are_removed() -> None:
    if REFUSAL:
        pytest.skip(f"not tried: {REFUSAL}")
    run = (
        "import subprocess; from tests.chaos.hosts import network\nwith network('a') as hosts:\n"
        "    subprocess.run(hosts.command('a', ['sh', '-c', 'echo $$; exec sleep 600']))"  # it prints inside its host
    )
    with subprocess.Popen([sys.executable, "-c", run], cwd=ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        left = int(killed.stdout.readline())
        killed.kill()
    with network("b"):
        wait_until(lambda: not is_alive(left))
        assert list(Path("/run/netns").glob(f"tracemill-{killed.pid}-*")) == []
    assert list(Path("/run/netns").glob(f"tracemill-{os.getpid()}-*")) == []


def test_a_cut_off_process_of_each_kind_does_no_harm(tmp_path: Path) -> None:
    survive(KINDS, 22, 260, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_is_cut_off_for_a_minute_does_no_harm(kind: str, tmp_path: Path) -> None:
    survive([kind], 60, 1600, tmp_path)


def survive(kinds: Sequence[str], seconds: float, questions: int, folder: Path) -> None:
    """Cut off a process of each kind during its work: others finish the job, and its late rows are refused."""
    if REFUSAL:
        pytest.skip(f"not tried: {REFUSAL}")
    for host in HOSTS:
        tell(folder / f"{host}.mood", Fault.BUSY, 0)
    settings = SETTINGS.format(port=MODEL_PORT)
    with (
        network(*HOSTS) as hosts,
        inside(hosts.hub),
        running(folder, settings, lambda stack: programs(hosts, stack, folder)) as factory,
    ):
        try:
            change(WITNESS)
            wait_until(lambda: value("select count(*) from processes") == len(HOSTS), 240)
            fill(additions(questions), JOB, policy=Policy(judge="verifier"))
            # Every worker has stored a row, so the cut-off workers were working.
            wait_until(lambda: value("select count(distinct host) from stored where kept") == 4, 240)
            wait_until(lambda: states(JOB).get("done", 0) >= 20, 240, lambda: states(JOB))
            cut_off(kinds, seconds, hosts, folder, factory)
            wait_for(JOB, 240)
            check(JOB, questions)
            wait_for(AFTERWARDS, 240)
            assert states(AFTERWARDS) == {"done": MORE}
            assert factory.orphans() == []
        except BaseException:
            print(factory.log_tails())
            raise
        assert factory.deaths() == {}, factory.log_tails()


def cut_off(kinds: Sequence[str], seconds: float, hosts: Network, folder: Path, factory: World) -> None:
    """Disconnect one host of each kind and reconnect it; check the results of its work."""
    cut = {kind: leader(factory) if kind == "producer" else f"{kind}-1" for kind in kinds}
    unjudged: list[int] = []
    for kind in cut.keys() & LATENCY.keys():
        # Its teacher or judge answers after the reconnection. By then its questions have waited longer than usual.
        tell(folder / f"{cut[kind]}.mood", HELD, 3600)
    if "verify" in cut:
        wait_until(lambda: waits(folder / f"{cut['verify']}.mood"), 60)
        unjudged = unverified()  # on a busy machine the other verifier may settle some of them before the cut
        time.sleep(3)
    if "generate" in cut:
        wait_until(lambda: len(held_by(factory, cut["generate"])) > 2, 20)
    for host in cut.values():
        hosts.cut(host)
    began = time.time()
    time.sleep(0.5)  # until no packet of theirs is in transit
    held = {"traces": held_by(factory, cut.get("generate", "")), "verdicts": unjudged}
    print(f"\ncut off: {', '.join(cut.values())}; {states(JOB)}")
    kill("redis", factory)  # the cut-off hosts do not learn that their connections are closed
    if "producer" in cut:
        wait_until(lambda: leader(factory) not in ("", cut["producer"]), BROKEN + 10)
        print(f"{leader(factory)} leads after {time.time() - began:.1f} s")
    time.sleep(max(0.0, began + seconds - time.time()))
    # Otherwise the cut-off host would be first to store it. Redis keeps the messages of a lost verifier for a minute.
    wait_until(lambda: redone(held), 120, lambda: states(JOB))
    back = time.time()
    print(f"back after {back - began:.0f} s: {states(JOB)}")
    for host in cut.values():
        hosts.join(host)
        tell(folder / f"{host}.mood", Fault.BUSY, 0)
    fill(additions(MORE, first=1_000_000), AFTERWARDS, policy=Policy(judge="verifier"))  # checks that they work again
    for kind, what in (("generate", "traces"), ("verify", "verdicts")):
        if kind in cut:
            comes_too_late(hosts.addresses[cut[kind]], what, held[what], back)
    if "producer" in cut:
        wait_until(lambda: stands_by(cut["producer"], back), 30)
        print(f"{cut['producer']} stands by {time.time() - back:.1f} s after its return")


def redone(held: Mapping[str, list[int]]) -> bool:
    """True if other workers have stored the work of the cut-off hosts."""
    left = "select count(*) from job_questions where question_id = any(:held) and state = any(:states)"
    unanswered, waiting = ["pending", "queued", "running"], ["generated"]
    return not (
        value(left, held=held["traces"], states=unanswered)
        or value(left, held=held["verdicts"], states=unanswered + waiting)
    )


def comes_too_late(host: str, what: str, held: list[int], back: float) -> None:
    """Check that late rows of the host change nothing, and that the host then does new work."""
    assert held
    late = {"what": what, "host": host, "since": back, "questions": held}
    wait_until(
        lambda: rows(LATE, **late), 60, lambda: rows("select host, what, kept, count(*) from stored group by 1, 2, 3")
    )
    first, refused = time.time() - back, rows(LATE, **late)
    assert host not in {row.keeper for row in refused}
    again = (
        "select count(*) from stored where what = :what and host = :host and kept and extract(epoch from at) > :since"
    )
    wait_until(lambda: value(again, what=what, host=host, since=back), 60)
    print(f"{what}: {len(refused)} refused, {first:.1f} s after the return; new ones after {time.time() - back:.1f} s")


def programs(hosts: Network, stack: Stack, folder: Path) -> list[Program]:
    """Run each process of the factory on its host, with only the addresses of the data services."""
    listen(folder_of(folder / "data"), stack)
    reached = {
        "TRACEMILL_DATABASE_URL": stack.database_url.replace("127.0.0.1", HUB),
        "TRACEMILL_REDIS_URL": stack.redis_url.replace("127.0.0.1", HUB),
    }
    programs_of_hosts = []
    for host in HOSTS:
        kind = host.split("-")[0]
        ours = environment(folder) | reached | {"TRACEMILL_DATA_DIR": str(folder / host)}
        words = {
            "producer": ["producer"],
            "generate": ["worker", "generate", "--model", "teacher"],
            "verify": ["worker", "verify", "--judge", "verifier"],
        }[kind]
        commands = {host: ["cli", *words]}
        if kind in LATENCY:
            model = model_command(folder / f"{host}.mood", MODEL_PORT, LATENCY[kind], seed=1)
            commands[f"model-of-{host}"] = model
        programs_of_hosts += [
            Program(name, hosts.command(host, [sys.executable, "-m", *command]), ours, stop_seconds=5)
            for name, command in commands.items()
        ]
    return programs_of_hosts


def listen(folder: Folder, stack: Stack) -> None:
    """Make the data services listen on the bridge too, with their passwords."""
    for file, line in (
        (folder.postgres / "postgresql.conf", f"listen_addresses = '127.0.0.1, {HUB}'"),
        (folder.postgres / "pg_hba.conf", f"host all all {NETWORK} scram-sha-256"),
        (folder.redis / "redis.conf", f"bind 127.0.0.1 {HUB}"),
    ):
        with file.open("a") as settings:
            settings.write(f"{line}\n")
    supervisor = Supervisor(folder, Path(stack.run_dir))
    supervisor.stop(["postgres", "redis"], 8)
    supervisor.apply()
    supervisor.settle(["postgres", "redis"], 20)


def leader(factory: World) -> str:
    """The host of the leading feeder; empty if none leads."""
    pid = leader_pid()
    return next((row.name for row in local.status(factory.folder) if pid is not None and row.pid == pid), "")


def stands_by(host: str, since: float) -> bool:
    """True if the feeder of that host has sent a heartbeat since then and does not lead."""
    beats = (
        "select count(*) from processes where name like :name and not leads and extract(epoch from seen_at) > :since"
    )
    return bool(value(beats, name=f"{host}.%", since=since))


def kill(name: str, factory: World) -> None:
    """Kill the process with SIGKILL; its supervisor restarts it."""
    (pid,) = (row.pid for row in local.status(factory.folder) if row.name == name)
    assert pid is not None
    factory.killed[name] += 1
    os.kill(pid, signal.SIGKILL)


def held_by(factory: World, host: str) -> list[int]:
    """The questions that the worker claimed at least a second ago, so it has received them."""
    pids = [row.pid for row in local.status(factory.folder) if row.name == host]
    claimed = (
        "select question_id from job_questions where state = 'running' and split_part(owner, '.', 2) = any(:pids) "
        "and updated_at < now() - interval '1 s'"
    )
    return [row.question_id for row in rows(claimed, pids=list(map(str, pids)))]


def unverified() -> list[int]:
    """The questions that wait for verdicts, among them all that the cut-off verifier holds.

    Their age would tell nothing: the feeder renews it when it sends a message again.
    """
    return [row.question_id for row in rows("select question_id from job_questions where state = 'generated'")]
