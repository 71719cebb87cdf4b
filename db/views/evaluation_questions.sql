create view evaluation_questions as
select q.id as question_id,
       q.question,
       q.dataset
from questions q
where exists (
    select from job_questions jq join jobs j on j.id = jq.job_id
    where jq.question_id = q.id and j.purpose = 'evaluate'
);

comment on view evaluation_questions is 'One row for each question of an evaluation. No round trains on it.';
comment on column evaluation_questions.question_id is 'The question.';
comment on column evaluation_questions.question is 'Its text.';
comment on column evaluation_questions.dataset is 'Its dataset.';
