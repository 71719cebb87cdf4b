-- The heartbeats of the factory's processes.

-- name: beat
insert into processes (name, kind, host, queues, concurrency, leads, trouble, is_hidden)
values (:name, :kind, :host, cast(:queues as jsonb), :concurrency, :leads, :trouble, :is_hidden)
on conflict (name) do update set seen_at = clock_timestamp(), concurrency = excluded.concurrency, leads = excluded.leads,
     trouble = excluded.trouble, is_hidden = excluded.is_hidden,
     started_at = case when processes.concurrency = 0 and excluded.concurrency > 0 then now() else processes.started_at end

-- name: process_ended
delete from processes where name = :name

-- name: forget_processes
-- A killed process does not delete its row. Claims whose process has no row are lost.
delete from processes where seen_at < now() - greatest(interval '10 minutes', make_interval(secs => :lease))

-- name: hide_processes
-- They have ended, as their host sees it. Their claims end with their heartbeats, because a row may belong to a process of
-- another container with the same host name: its next heartbeat shows it again.
update processes set is_hidden = true, concurrency = 0, leads = false where name = any(:names)

-- name: processes_of_host
select name from processes where host = :host and not is_hidden

-- name: processes
select name, kind, host, queues, concurrency, leads, trouble, started_at,
       cast(extract(epoch from now() - started_at) as double precision) as up_seconds,
       cast(extract(epoch from now() - seen_at) as double precision) as silent_seconds
from processes
where not is_hidden and seen_at > now() - interval '10 minutes' and (cast(:host as text) is null or host = :host)
order by kind, name

-- name: listening
-- The live workers of each queue: the number of tasks that they run at a time, and the number of processes.
select queue, sum(concurrency) as places, count(*) as processes
from processes, jsonb_array_elements_text(queues) as queue
where not is_hidden and seen_at > now() - make_interval(secs => :silent)
group by queue

-- name: serving
-- The live workers of a queue.
select name, concurrency from processes
where queues ? :queue and not is_hidden and seen_at > now() - make_interval(secs => :silent)
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
