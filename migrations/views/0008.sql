-- trace_scores gets two more scores.

create or replace view trace_scores as
select t.id as trace_id,
       j.name as job,
       j.purpose,
       q.dataset,
       q.domain,
       q.id as question_id,
       q.question,
       q.gold,
       j.model,
       r.name as adapter,
       j.method,
       j.negative,
       t.variant,
       t.sample_index,
       t.text,
       t.reasoning,
       t.answer,
       t.answer_form,
       v.correct,
       v.proof,
       v.equations_checked,
       v.equations_false,
       v.faithfulness,
       v.coherence,
       v.signals,
       v.refused,
       v.accepted,
       v.error,
       v.verifier,
       v.kind,
       v.majority,
       v.margin,
       v.steps,
       v.first_error,
       v.ungrounded,
       v.concludes,
       v.findings,
       t.tokens_in,
       t.tokens_out,
       t.thinking_tokens,
       t.cost,
       t.engine_seconds,
       t.latency_seconds,
       t.finish_reason,
       t.calls,
       t.prompt_hash,
       t.created_at,
       v.created_at as verified_at,
       v.equations_compound,
       v.unused
from traces t
join jobs j on j.id = t.job_id
join questions q on q.id = t.question_id
left join rounds r on r.id = j.round_id
left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier;

comment on column trace_scores.equations_compound is 'Equations that do several operations at once, as 3 + 4 + 4 = 11 does: steps were skipped.';
comment on column trace_scores.unused is 'Numbers of the question, in digits, that no equation of the trace works with.';
