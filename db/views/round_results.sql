create view round_results as
select g.round,
       g.stage,
       g.benchmark,
       g.domain,
       g.difficulty,
       g.length,
       g.questions,
       g.correct,
       g.correct_strict,
       g.any_correct,
       g.steps,
       g.faithfulness,
       g.coherence,
       g.tokens_out,
       g.accuracy,
       (centre - half) / (1 + z2 / n) as low,
       (centre + half) / (1 + z2 / n) as high
from (
    select round,
           stage,
           benchmark,
           domain,
           difficulty,
           length,
           count(*) as questions,
           count(*) filter (where correct) as correct,
           count(*) filter (where correct_strict) as correct_strict,
           count(*) filter (where samples_correct > 0) as any_correct,
           avg(steps)::float8 as steps,
           avg(faithfulness)::float8 as faithfulness,
           avg(coherence)::float8 as coherence,
           avg(tokens_out)::float8 as tokens_out,
           avg(share) as accuracy,
           var_pop(share) as variance,
           max(samples) as samples
    from round_answers
    group by 1, 2, 3, 4, 5, 6
) g
join lateral (
    -- The effective number of questions, as in tracemill.statistics.mean_share.
    select 1.959964 ^ 2 as z2,
           case when g.questions * g.variance > 1e-9
                then least(g.questions * g.accuracy * (1 - g.accuracy) / g.variance, g.questions * g.samples)
                else g.questions end as n
) e on true
join lateral (
    select g.accuracy + z2 / (2 * n) as centre,
           1.959964 * sqrt(g.accuracy * (1 - g.accuracy) / n + z2 / (4 * n ^ 2)) as half
) w on true;

comment on view round_results is 'Evaluation results: one row for each round, stage, benchmark, domain, difficulty and length of the questions.';
comment on column round_results.round is 'The round.';
comment on column round_results.stage is 'before (base model) or after (with the adapter).';
comment on column round_results.benchmark is 'The evaluation job of the base model.';
comment on column round_results.domain is 'math, code, legal, medical or general.';
comment on column round_results.difficulty is 'As in round_answers.';
comment on column round_results.length is 'As in round_answers.';
comment on column round_results.questions is 'Number of questions.';
comment on column round_results.correct is 'Right answers, counting the first sample of each question.';
comment on column round_results.correct_strict is 'Right answers in a requested form.';
comment on column round_results.any_correct is 'Questions with a right answer among all their samples.';
comment on column round_results.steps is 'Mean steps of an answer.';
comment on column round_results.faithfulness is 'Mean faithfulness; null if not judged.';
comment on column round_results.coherence is 'Mean coherence; null if not judged.';
comment on column round_results.tokens_out is 'Mean tokens of an answer.';
comment on column round_results.accuracy is 'Mean over the questions of the share of right samples, 0 to 1.';
comment on column round_results.low is 'Lower end of its 95 % interval over questions (Wilson''s, for several samples with the effective number of questions).';
comment on column round_results.high is 'Upper end of its 95 % interval over questions (Wilson''s, for several samples with the effective number of questions).';
