create view round_progress as
select id as round_id,
       name as round,
       state,
       spec ->> 'student' as student,
       spec #>> '{fit,objective}' as objective,
       cast(metrics ->> 'examples' as bigint) as examples,
       metrics -> 'loss' as loss,
       error,
       created_at,
       finished_at
from rounds;

comment on view round_progress is 'One row for each round: its state and its training.';
comment on column round_progress.round_id is 'The round.';
comment on column round_progress.round is 'Its name.';
comment on column round_progress.state is 'queued, selecting, fitting, evaluating, done or failed.';
comment on column round_progress.student is 'The model alias that is trained.';
comment on column round_progress.objective is 'The objective of its training.';
comment on column round_progress.examples is 'Examples of its training; null before it is fitted.';
comment on column round_progress.loss is 'Pairs of an optimiser step and its loss; null before it is fitted.';
comment on column round_progress.error is 'Why it failed.';
comment on column round_progress.created_at is 'When it was submitted.';
comment on column round_progress.finished_at is 'When it ended.';
