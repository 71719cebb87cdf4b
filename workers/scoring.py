"""The samples of a job that another job scores: their exact tokens, as the student's engine sampled them."""

from collections.abc import Collection

from db.queries import Q
from db.retry import patiently
from db.session import statement
from tracemill.engines import Completion
from tracemill.errors import RequestRefused
from tracemill.logprobs import decode
from workers.visit import Slot


def stored_samples(job_id: int | None, question_id: int, missing: Collection[Slot]) -> dict[Slot, Completion]:
    """The traces of a job for a question in the `missing` slots. Raises RequestRefused if it has none of them."""

    def read() -> dict[Slot, Completion]:
        with statement() as connection:
            rows = connection.execute(Q["samples_to_score"], {"from_job_id": job_id, "question_id": question_id}).all()
        samples = {}
        for row in rows:
            if (slot := Slot(row.variant, row.sample_index)) in missing:
                top = decode(row.payload)
                samples[slot] = Completion(row.text, len(top.chosen), row.finish_reason, row.thinking_tokens, top)
        return samples

    samples = patiently(read)
    if not samples:
        raise RequestRefused("the job whose traces are scored has no further trace of this question")
    return samples
