create view trace_details as
select t.id as trace_id,
       coalesce((select array_agg(coalesce(step ->> 'text', step #>> '{}') order by number)
                 from jsonb_array_elements(t.steps) with ordinality as each(step, number)), '{}') as step_texts,
       p.messages as prompt,
       t.worker
from traces t
join prompts p on p.hash = t.prompt_hash;

comment on view trace_details is 'The rest of each trace of trace_scores: its steps, its prompt and its worker.';
comment on column trace_details.trace_id is 'The trace.';
comment on column trace_details.step_texts is 'The steps that its method has parsed; empty if its method parses none.';
comment on column trace_details.prompt is 'The messages of its prompt template, before the question is filled in.';
comment on column trace_details.worker is 'The worker that answered; import for traces of other tools.';
