-- Calibrations of judges, one row per signal and measurement. Rows never change: the newest one is valid.

-- name: insert_calibration
insert into calibrations (judge, model, signal, source, n_right, n_wrong, auc, low, high, agreement, agreement_low,
                          agreement_high, bins)
values (:judge, :model, :signal, :source, :n_right, :n_wrong, :auc, :low, :high, :agreement, :agreement_low,
        :agreement_high, cast(:bins as jsonb))

-- name: latest_calibrations
select distinct on (signal) * from calibrations
where judge = :judge and model = :model
order by signal, id desc

-- name: judged_traces
-- Verdicts with signals of the judge and a `correct` that does not depend on the judge. Excluded are free-text answers that
-- differ from their reference: the judge's agreement decides them.
select correct, signals from trace_scores
where job = :job and verifier = :verifier and correct is not null and signals <> '{}'
  and coalesce(proof, '') not like 'agreement %'
order by trace_id
limit cast(:limit as bigint)
