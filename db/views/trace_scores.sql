create view trace_scores as
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
       case when j.purpose = 'evaluate' then 'evaluate'
            when exists (
                select from questions e join job_questions eq on eq.question_id = e.id join jobs ej on ej.id = eq.job_id
                where e.fingerprint = q.fingerprint and ej.purpose = 'evaluate'
            ) then 'overlap'
            when j.purpose = 'round' then 'round'
            when v.id is null then 'unverified'
            when not v.accepted or coalesce(t.answer_text, t.text) = '' then 'rejected'
            when j.negative then 'negative'
            else 'train' end as training_use,
       t.variant,
       t.sample_index,
       coalesce(t.answer_text, substr(t.text, t.answer_start, t.answer_length), t.text) as text,
       coalesce(t.thoughts, substr(t.text, t.thoughts_start, t.thoughts_length)) as thoughts,
       coalesce(t.reasoning, substr(t.text, t.reasoning_start, t.reasoning_length),
                t.thoughts, substr(t.text, t.thoughts_start, t.thoughts_length),
                t.answer_text, substr(t.text, t.answer_start, t.answer_length), t.text) as reasoning,
       t.answer,
       t.answer_form,
       v.correct,
       v.proof,
       {score_columns},
       v.faithfulness,
       v.coherence,
       v.signals,
       v.refused,
       v.accepted,
       jq.accepted / nullif(jq.settled, 0)::float8 as pass_rate,
       v.error,
       v.verifier,
       v.kind,
       v.majority,
       v.margin,
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
       t.model_hash,
       t.created_at,
       v.created_at as verified_at
from traces t
join jobs j on j.id = t.job_id
join questions q on q.id = t.question_id
left join rounds r on r.id = j.round_id
left join job_questions jq on jq.job_id = t.job_id and jq.question_id = t.question_id
left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier;

comment on view trace_scores is 'One flat row for each trace: the question, the model, the method, the answer and the verdict.';
comment on column trace_scores.trace_id is 'The trace.';
comment on column trace_scores.job is 'The job of the trace.';
comment on column trace_scores.purpose is 'teach: rounds may train on it; round: a sample of the student in a loop, or its score by a teacher; evaluate: rounds never train on it.';
comment on column trace_scores.dataset is 'The dataset of the question.';
comment on column trace_scores.domain is 'math, code, legal, medical or general.';
comment on column trace_scores.question_id is 'The question.';
comment on column trace_scores.question is 'Its text.';
comment on column trace_scores.gold is 'The reference answer; null if there is none.';
comment on column trace_scores.model is 'The model alias that answered.';
comment on column trace_scores.adapter is 'The round whose adapter answered; null for the base model.';
comment on column trace_scores.method is 'The method.';
comment on column trace_scores.negative is 'The method requests wrong reasoning, so its accepted traces are examples of errors.';
comment on column trace_scores.training_use is 'train: a round may imitate the trace. Otherwise the reason against it: evaluate (of an evaluation), overlap (its question is also in an evaluation), round (of a loop), unverified, rejected, negative (wrong on purpose).';
comment on column trace_scores.variant is 'The variant of the method; empty for methods with one variant.';
comment on column trace_scores.sample_index is '0-based number of the sample among those of its question, job and variant.';
comment on column trace_scores.text is 'The text of the model without its thoughts.';
comment on column trace_scores.thoughts is 'The thoughts of a reasoning model before its text, without marks; null if there are none.';
comment on column trace_scores.reasoning is 'The thoughts of a reasoning model; the reasoning in the text of any other model.';
comment on column trace_scores.answer is 'The final answer in the text; null if there is none.';
comment on column trace_scores.answer_form is 'Form of the answer: boxed, stated, hashes (requested forms); equation, last number, last line (lenient).';
comment on column trace_scores.correct is 'The answer equals the gold answer; null if undecided.';
comment on column trace_scores.proof is 'How correctness was decided, or why it is undecided.';
{score_comments}
comment on column trace_scores.faithfulness is 'Whether the reasoning leads to this answer, 0 to 1, by the LLM verifier; null if not judged.';
comment on column trace_scores.coherence is 'Whether each step follows from the steps before it, 0 to 1; null if not judged.';
comment on column trace_scores.signals is 'The raw signals of the LLM verifier by name.';
comment on column trace_scores.refused is 'Why the trace is unusable even if its answer is right, for example because it reveals its hint; null if it is usable.';
comment on column trace_scores.accepted is 'The verdict passes the job''s policy; null if not verified yet.';
comment on column trace_scores.pass_rate is 'Share of accepted traces among those of its question in this job; null before the question is settled.';
comment on column trace_scores.error is 'The error during verification; null if there was none.';
comment on column trace_scores.verifier is 'The verifier of this verdict.';
comment on column trace_scores.kind is 'The expected kind of answer: number, expression, choice, boolean, text or code.';
comment on column trace_scores.majority is 'Share of the question''s samples with the same answer; only without a gold answer.';
comment on column trace_scores.margin is 'That share minus the share of the next answer.';
comment on column trace_scores.findings is 'False equations and ungrounded numbers, each with its step.';
comment on column trace_scores.tokens_in is 'Prompt tokens of all calls of the trace.';
comment on column trace_scores.tokens_out is 'Tokens written in all calls of the trace.';
comment on column trace_scores.thinking_tokens is 'Tokens of the trace that are thoughts.';
comment on column trace_scores.cost is 'Its price, by the price_in and price_out of the model''s settings. All samples of a prompt share the price of the prompt.';
comment on column trace_scores.engine_seconds is 'Its part of the engine''s time. Concurrent requests share each second.';
comment on column trace_scores.finish_reason is 'stop: the model ended the answer; length: the answer was cut off.';
comment on column trace_scores.latency_seconds is 'Seconds from the request to its last token, summed over all calls.';
comment on column trace_scores.calls is 'The earlier calls of the trace if the method has several, such as draft and critique, with text, thoughts and tokens.';
comment on column trace_scores.prompt_hash is 'A hash of the prompt template; `tracemill methods METHOD` prints both for a method.';
comment on column trace_scores.model_hash is 'A hash of the settings of the model alias when it answered (`job_models`); null in traces of older releases.';
comment on column trace_scores.created_at is 'When the trace was stored.';
comment on column trace_scores.verified_at is 'When its verdict was stored.';
