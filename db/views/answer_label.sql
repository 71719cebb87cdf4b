-- The answer of a choice question (its letter) or of a yes-or-no question, after its kind; null for any other answer.
create or replace function answer_label(kind text, answer text) returns text immutable parallel safe
return case kind
    when 'choice' then 'choice ' || upper(substring(answer from '^[^A-Za-z0-9]*([A-Ja-j])(?![A-Za-z0-9 ])'))
    when 'boolean' then 'boolean ' || case lower(substring(answer from '[A-Za-z]+'))
        when 'yes' then 'yes' when 'true' then 'yes' when 'no' then 'no' when 'false' then 'no' end
end;
