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
       t.variant,
       t.sample_index,
       t.text,
       t.reasoning,
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
       t.created_at,
       v.created_at as verified_at
from traces t
join jobs j on j.id = t.job_id
join questions q on q.id = t.question_id
left join rounds r on r.id = j.round_id
left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier;

comment on view trace_scores is 'One flat row a trace: the question, who answered and how, and everything the verifier found.';
comment on column trace_scores.trace_id is 'The trace.';
comment on column trace_scores.job is 'The job that asked for it.';
comment on column trace_scores.purpose is 'teach: may be trained on. evaluate: never is.';
comment on column trace_scores.dataset is 'The dataset that the question belongs to.';
comment on column trace_scores.domain is 'math, code, legal, medical or general.';
comment on column trace_scores.question_id is 'The question.';
comment on column trace_scores.question is 'Its text.';
comment on column trace_scores.gold is 'The reference answer; null when there is none.';
comment on column trace_scores.model is 'The model alias that answered.';
comment on column trace_scores.adapter is 'The round whose adapter answered; null for the base model.';
comment on column trace_scores.method is 'The way of asking.';
comment on column trace_scores.negative is 'The method asks for wrong reasoning: its accepted traces show how not to reason.';
comment on column trace_scores.variant is 'Which of the method''s variants; empty for methods with one.';
comment on column trace_scores.sample_index is '0-based number of the sample among those of its question, job and variant.';
comment on column trace_scores.text is 'What the model wrote.';
comment on column trace_scores.reasoning is 'What a reasoning model thought; of any other model, what it said.';
comment on column trace_scores.answer is 'The final answer found in the text; null when there is none.';
comment on column trace_scores.answer_form is 'Where it was found: boxed, stated, hashes (asked forms); equation, last number, last line (lenient).';
comment on column trace_scores.correct is 'The answer equals the gold answer; null: could not be decided.';
comment on column trace_scores.proof is 'How correctness was decided, or why it was not.';
{score_comments}
comment on column trace_scores.faithfulness is 'Does the reasoning lead to this answer, 0 to 1, by the LLM verifier; null: not asked.';
comment on column trace_scores.coherence is 'Does each step follow from the last, 0 to 1; null: not asked.';
comment on column trace_scores.signals is 'Each raw signal of the verifier by name.';
comment on column trace_scores.refused is 'Why a trace of this method is of no use, however right it is: it betrays its hint, and the like; null: nothing.';
comment on column trace_scores.accepted is 'The verdict passes the job''s policy; null: not verified yet.';
comment on column trace_scores.error is 'What went wrong while verifying; null: nothing.';
comment on column trace_scores.verifier is 'The verifier whose verdict this is.';
comment on column trace_scores.kind is 'The kind of answer that was looked for: number, expression, choice, boolean, text or code.';
comment on column trace_scores.majority is 'Share of the question''s samples that agree with this answer; only without a gold answer.';
comment on column trace_scores.margin is 'That share minus the share of the next answer.';
comment on column trace_scores.findings is 'False equations and ungrounded numbers, each with its step.';
comment on column trace_scores.tokens_in is 'Tokens of the prompt, of all calls of the trace together.';
comment on column trace_scores.tokens_out is 'Tokens written, in all calls of the trace together.';
comment on column trace_scores.thinking_tokens is 'How many tokens of the trace were thoughts, apart from the answer.';
comment on column trace_scores.cost is 'Its price, by the price_in and price_out of the model''s settings; a prompt is paid once for all its samples.';
comment on column trace_scores.engine_seconds is 'Its part of the engine''s time: requests that are in the engine together share each second.';
comment on column trace_scores.finish_reason is 'stop: the model ended; length: it was cut off.';
comment on column trace_scores.latency_seconds is 'Seconds from the request to its last token, of all calls together.';
comment on column trace_scores.calls is 'The earlier calls of the trace, where the method makes several: draft, critique and the like, with text and tokens.';
comment on column trace_scores.prompt_hash is 'The template that was asked with (table prompts).';
comment on column trace_scores.created_at is 'When the trace was stored.';
comment on column trace_scores.verified_at is 'When its verdict was stored.';
