"""The samples of a job that another job scores: their exact tokens, as the student's engine sampled them."""

from collections.abc import Collection

from db.queries import Q
from db.retry import patiently
from db.session import statement
from tracemill.engines import Completion
from tracemill.errors import RequestRefused
from tracemill.logprobs import decode
from workers.job import WorkerJob
from workers.visit import Slot


def stored_samples(job: WorkerJob, question_id: int, missing: Collection[Slot]) -> dict[Slot, Completion]:
    """The traces that `job` scores for a question, in the `missing` slots, with their tokens if it scores these.

    Raises RequestRefused if there are none.
    """
    key = {"from_job_id": job.from_job_id, "question_id": question_id}

    def read() -> dict[Slot, Completion]:
        with statement() as connection:
            rows = connection.execute(Q["samples_to_score"], key).all()
        samples = {}
        for row in rows:
            if (slot := Slot(row.variant, row.sample_index)) in missing:
                top = decode(row.payload)
                tokens = top if job.scores == "tokens" else None
                samples[slot] = Completion(row.text, len(top.chosen), row.finish_reason, row.thinking_tokens, tokens)
        return samples

    samples = patiently(read)
    if not samples:
        raise RequestRefused("the job whose traces are scored has no further trace of this question")
    return samples
