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
select v.correct, v.signals
from verdicts v join traces t on t.id = v.trace_id join jobs j on j.id = t.job_id
where j.name = :job and v.verifier = :verifier and v.correct is not null and v.signals <> '{}'
  and coalesce(v.proof, '') not like 'agreement %'
order by t.id
limit cast(:limit as bigint)
