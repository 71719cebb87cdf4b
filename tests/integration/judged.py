"""Store a job whose traces a judge has rated."""

from tests.integration.factory import ASK, additions, change, fill
from tracemill.policy import Policy


def judged_job(name: str, right: int, wrong: int, policy: Policy) -> None:
    """Store a job with `right` right traces scored 0.8, and `wrong` wrong traces scored 0.3."""
    fill(additions(right + wrong), name, policy=policy, samples=1)
    change(
        """
        insert into traces (job_id, question_id, sample_index, prompt_hash, text, reasoning, steps, tokens_in,
                            tokens_out, latency_seconds, worker)
        select job_id, question_id, 0, :hash, '', '', '[]', 1, 1, 0, 'test'
        from job_questions join jobs on jobs.id = job_id where name = :name
        """,
        hash=ASK.hash,
        name=name,
    )
    change(
        """
        insert into verdicts (trace_id, verifier, correct, proof, equations_checked, equations_false, signals, findings,
                              accepted, seconds)
        select t.id, j.verifier, n <= :right, 'equal', 0, 0,
               case when n <= :right then '{"rating": 0.8, "uninformative": ["rating"]}'::jsonb
                    else '{"rating": 0.3, "uninformative": ["rating"]}'::jsonb end, '[]', false, 0
        from (select *, row_number() over (partition by job_id order by id) as n from traces) t
        join jobs j on j.id = t.job_id
        where j.name = :name
        """,
        right=right,
        name=name,
    )
