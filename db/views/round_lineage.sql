create view round_lineage as
select r.name as round,
       r.state as round_state,
       e.role,
       e.position,
       q.id as question_id,
       q.question,
       t.id as trace_id,
       j.name as job,
       j.model as teacher,
       j.method,
       t.prompt_hash as teacher_prompt_hash,
       r.prompt_hash as student_prompt_hash,
       r.adapter_path,
       v.stage as evaluation_stage,
       w.name as evaluation_job,
       v.questions as evaluated,
       v.accuracy,
       v.low,
       v.high,
       v.benchmark,
       coalesce(t.answer_text, substr(t.text, t.answer_start, t.answer_length), t.text) as text,
       coalesce(t.thoughts, substr(t.text, t.thoughts_start, t.thoughts_length)) as thoughts,
       p.messages as teacher_prompt,
       e.stage as curriculum_stage
from rounds r
join examples e on e.round_id = r.id
join traces t on t.id = e.trace_id
join questions q on q.id = t.question_id
join jobs j on j.id = t.job_id
join prompts p on p.hash = t.prompt_hash
left join evaluations v on v.round_id = r.id
left join jobs w on w.id = v.job_id;

comment on view round_lineage is 'Question → trace → round → evaluation: one row for each example and each evaluation of its round.';
comment on column round_lineage.round is 'The round.';
comment on column round_lineage.round_state is 'queued, selecting, fitting, evaluating, done or failed.';
comment on column round_lineage.role is 'The use of the trace: sft (an example to imitate), chosen or rejected.';
comment on column round_lineage.position is '0-based position of the example in the training order.';
comment on column round_lineage.question_id is 'The question that the example answers.';
comment on column round_lineage.question is 'Its text.';
comment on column round_lineage.trace_id is 'The trace that was trained on.';
comment on column round_lineage.job is 'The job of the trace.';
comment on column round_lineage.teacher is 'The model alias that wrote the trace.';
comment on column round_lineage.method is 'The method of that job.';
comment on column round_lineage.teacher_prompt_hash is 'The teacher''s prompt template.';
comment on column round_lineage.student_prompt_hash is 'The prompt template of the student''s training and evaluation.';
comment on column round_lineage.adapter_path is 'The adapter that the round made.';
comment on column round_lineage.evaluation_stage is 'before (base model) or after (with the adapter); null if not evaluated yet.';
comment on column round_lineage.evaluation_job is 'The evaluation job.';
comment on column round_lineage.evaluated is 'Questions in that evaluation.';
comment on column round_lineage.accuracy is 'Share of them answered right, 0 to 1; with several samples the mean share of right samples.';
comment on column round_lineage.low is 'Lower end of its 95 % interval over questions.';
comment on column round_lineage.high is 'Upper end of its 95 % interval over questions.';
comment on column round_lineage.benchmark is 'The evaluation job of the base model; null if not evaluated yet. Joins round_flips and round_answers.';
comment on column round_lineage.text is 'The text of the trace without its thoughts.';
comment on column round_lineage.thoughts is 'The thoughts of the trace; null if there are none.';
comment on column round_lineage.teacher_prompt is 'The messages of the teacher''s prompt template, with slots in braces.';
comment on column round_lineage.curriculum_stage is '0-based stage of the curriculum.';
