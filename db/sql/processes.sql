-- The heartbeats of the factory's processes.

-- name: beat
insert into processes (name, kind, host, queues, concurrency, leads, trouble)
values (:name, :kind, :host, cast(:queues as jsonb), :concurrency, :leads, :trouble)
on conflict (name) do update set seen_at = now(), concurrency = excluded.concurrency, leads = excluded.leads,
     trouble = excluded.trouble,
     started_at = case when processes.concurrency = 0 and excluded.concurrency > 0 then now() else processes.started_at end

-- name: process_ended
delete from processes where name = :name

-- name: forget_processes
-- A killed process does not delete its row.
delete from processes where seen_at < now() - interval '10 minutes' or name = any(:gone)

-- name: processes_of_host
select name from processes where host = :host

-- name: processes
select name, kind, host, queues, concurrency, leads, trouble, started_at,
       cast(extract(epoch from now() - started_at) as double precision) as up_seconds,
       cast(extract(epoch from now() - seen_at) as double precision) as silent_seconds
from processes
where seen_at > now() - interval '10 minutes' and (cast(:host as text) is null or host = :host)
order by kind, name

-- name: listening
-- The live workers of each queue: the number of tasks that they run at a time, and the number of processes.
select queue, sum(concurrency) as places, count(*) as processes
from processes, jsonb_array_elements_text(queues) as queue
where seen_at > now() - make_interval(secs => :silent)
group by queue

-- name: serving
-- The live workers of a queue.
select name, concurrency from processes
where queues ? :queue and seen_at > now() - make_interval(secs => :silent)
order by name

-- name: end_long_reads
-- Ends the sessions of the read-only role whose transaction is too old. The list comes first, because Postgres may
-- otherwise try to end other sessions before it looks at their role.
with long as materialized (
    select pid, left(query, 200) as query, cast(extract(epoch from now() - xact_start) as double precision) as seconds
    from pg_stat_activity
    where usename = 'tracemill_reader' and datname = current_database()
      and xact_start < now() - make_interval(secs => :seconds)
)
select query, seconds from long where pg_terminate_backend(pid)
