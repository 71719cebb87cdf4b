"""Self-distillation: the student's own base model, shown the gold answer, scores every token of the student's samples.

Shenfeld et al. 2026, SDFT, arXiv:2601.19897. The model that knows the answer is the teacher of the model that does not.
Unlike rationalisation (STaR), the student learns from its own attempts, right or wrong, token by token.
"""

from trainer.objectives.base import Lesson, Outcome, ScoredOptions, Scorer, objective


class SelfDistillOptions(ScoredOptions):
    """`[fit.self_distill]`."""

    def scorer(self, student: str) -> Scorer:
        return Scorer(student, "rationalize", self.top_k)


@objective("self_distill", SelfDistillOptions, logprobs=True)
def fit(lesson: Lesson[SelfDistillOptions]) -> Outcome:
    """Fit an adapter on samples that the base model has scored, with the gold answer in its prompt."""
    from trainer.own_words import learn_scores

    return learn_scores(lesson)
