(not cast(:is_filtered as boolean) or (
    -- One trace that passes all filters. A scalar query: as a semi-join it would read all traces of the job.
    select true from trace_scores v
    where v.job = :job and v.question_id = q.question_id
      and case cast(:verdict as text) when 'right' then v.correct
                                      when 'wrong' then not v.correct
                                      when 'undecided' then v.correct is null and v.verified_at is not null
                                      when 'unverified' then v.verified_at is null
                                      else true end
      and case cast(:accepted as text) when 'yes' then v.accepted when 'no' then not v.accepted else true end
      and cast(:method as text) in ('', v.method, v.variant)
      and (cast(:score as text) = '' or
           case cast(:score as text) {score_cases} when 'faithfulness' then v.faithfulness
                                     when 'coherence' then v.coherence when 'tokens_out' then v.tokens_out end
           between cast(:low as float8) and cast(:high as float8))
      and (cast(:text as text) = '' or strpos(lower(v.text), lower(:text)) > 0
           or strpos(lower(v.thoughts), lower(:text)) > 0 or strpos(lower(v.question), lower(:text)) > 0)
    limit 1))
