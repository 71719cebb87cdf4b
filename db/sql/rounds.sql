-- Rounds: queued -> selecting -> fitting -> evaluating -> done, or failed.

-- name: round_by_name
select * from rounds where name = :name
