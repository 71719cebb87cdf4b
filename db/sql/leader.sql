-- The lead among the feeders: one row with the leader's lease. Its fencing number tells a leader from all earlier ones.

-- name: take_lead
-- The lease ran out, or the leader itself lost Postgres and starts again. A row that a frozen leader has locked is skipped:
-- Postgres ends its session soon.
update leader set fence = fence + 1, name = :name, since = clock_timestamp(),
    lease_until = clock_timestamp() + make_interval(secs => :lease)
where id in (select id from leader where lease_until < clock_timestamp() or name = :name for update skip locked)
returning fence

-- name: renew_lead
-- The start of each transaction of the leader. It locks the row, so no other feeder can lead before the transaction ends.
update leader set lease_until = clock_timestamp() + make_interval(secs => :lease)
where fence = :fence and lease_until > clock_timestamp()
returning extract(epoch from clock_timestamp() - since)

-- name: release_lead
update leader set lease_until = clock_timestamp() where fence = :fence
