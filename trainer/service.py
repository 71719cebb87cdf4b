"""One round from its claim to its evaluations, run by a Celery task that carries only the round's id.

A round moves queued → selecting → fitting → evaluating → done, or to failed. Each move is one statement in
`db/sql/rounds.sql`, guarded by the state and the owner. A trainer continues from the stored state. So a repeated task,
or a task after a crash, repeats no finished step.
"""

import json
import logging
from dataclasses import asdict

from db.queries import Q
from db.retry import is_away
from db.session import transaction
from tracemill.celery import TRAIN, app, shutting_down
from tracemill.errors import TracemillError, without_error_numbers
from tracemill.lending import borrowed
from tracemill.processes import unique_name
from tracemill.settings import settings
from trainer.child_process import fit_cards, run_in_child
from trainer.evaluate import advance
from trainer.fit import round_folder
from trainer.lease import Lease
from trainer.merge import merged_folder
from trainer.select.choose import select
from trainer.spec import RoundSpec, parse

log = logging.getLogger(__name__)

#: Seconds between two queries for the state of the evaluation jobs.
POLL_SECONDS = 1.0


@app.task(name=TRAIN)  # type: ignore[untyped-decorator]  # celery is not typed
def train(round_id: int) -> None:
    """Work on a round unless it has ended or another trainer holds it."""
    run_round(round_id)


def run_round(round_id: int) -> None:
    """Move a round from its state to `done`, or to `failed` with its error.

    Returns at once when the round cannot be claimed. When Postgres is unreachable or this worker shuts down, the round
    stays unchanged until the next task.
    """
    owner = unique_name()
    lease = Lease(round_id, owner, settings().feeder.running_lease_seconds)
    claim = {"round_id": round_id, "owner": owner, "lease": lease.seconds}
    with transaction() as connection:
        row = connection.execute(Q["claim_round"], claim).mappings().one_or_none()
    if row is None:
        log.info("round %d is done, failed or held by another trainer", round_id)
        return
    with lease.renewed():
        try:
            _work(lease, row["state"], row["adapter_path"], parse(row["spec"], f"round {round_id}"))
        except TracemillError as error:
            _change(lease, "round_failed", error=str(error))
        except Exception as error:
            if is_away(error):
                raise
            _change(lease, "round_failed", error=f"{type(error).__name__}: {without_error_numbers(str(error))}")
            raise
        if shutting_down.is_set():
            _change(lease, "release_round")


def _work(lease: Lease, state: str, adapter: str | None, spec: RoundSpec) -> None:
    """Make every step from `state` on; return early when the lease is lost or the worker shuts down."""

    def may_continue() -> bool:
        return lease.held and not shutting_down.is_set()

    if state == "selecting":
        with transaction() as connection:
            selection = select(connection, lease.round_id, spec)
            metrics = json.dumps({"selection": asdict(selection)})
            values = {"round_id": lease.round_id, "owner": lease.owner, "metrics": metrics}
            if connection.execute(Q["round_selected"], values).rowcount == 0:
                connection.rollback()
                return
        state = "fitting"
    if state == "fitting":
        folder = round_folder(settings().data_dir, spec.name)
        fit = ("trainer.fit", lease.round_id, folder / "fit.log", may_continue, spec.fit.processes)
        if adapter is None:
            with borrowed(settings().data_dir.resolve(), fit_cards(spec.fit.processes), may_continue) as is_held:
                if not is_held or not run_in_child(*fit):
                    return
        merge = spec.fit.merge and not merged_folder(settings().data_dir, spec.name).exists()
        if merge and not run_in_child("trainer.merge", lease.round_id, folder / "merge.log", may_continue):
            return
        if not _change(lease, "round_fitted"):
            return
    while may_continue():
        with transaction() as connection:
            # The renewal locks the round, so that a cancelled round opens no more jobs.
            lease_values = {"round_id": lease.round_id, "owner": lease.owner, "lease": lease.seconds}
            if connection.execute(Q["renew_round"], lease_values).rowcount == 0:
                return
            if advance(connection, lease.round_id, spec):
                connection.execute(Q["round_done"], {"round_id": lease.round_id, "owner": lease.owner})
                return
        shutting_down.wait(POLL_SECONDS)


def _change(lease: Lease, name: str, **values: str) -> bool:
    """Run one guarded statement; return True if it changed the round."""
    with transaction() as connection:
        result = connection.execute(Q[name], {"round_id": lease.round_id, "owner": lease.owner, **values})
        return result.rowcount == 1
