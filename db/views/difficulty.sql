-- The difficulty of a question in a job, from the share of its accepted traces, as in the view acceptance.
create or replace function difficulty(accepted bigint, settled bigint) returns text immutable parallel safe
return case when coalesce(settled, 0) = 0 then 'unknown'
            when accepted >= 0.7 * settled then 'easy'
            when accepted >= 0.3 * settled then 'medium'
            else 'hard' end;
