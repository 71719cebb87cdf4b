"""On-policy distillation: the student samples, and a teacher scores every token.

Agarwal et al. 2023, GKD, arXiv:2306.13649; Gu et al. 2023, MiniLLM, arXiv:2306.08543. The student learns where its own
words leave the teacher's distribution: the loss of a token is KL(student ‖ teacher), so the student gives up what the
teacher finds unlikely. trl's DistillationTrainer minimises the same divergence, but it samples in the process that
trains, which a 4-bit student on a CPU must not do, and it keeps neither samples nor scores.
"""

from trainer.objectives.base import Lesson, Outcome, ScoredOptions, Scorer, objective


class OnPolicyOptions(ScoredOptions):
    """`[fit.on_policy]`."""

    #: Model alias of the teacher, with the tokens of the student.
    teacher: str = "teacher"

    def scorer(self, student: str) -> Scorer:
        return Scorer(self.teacher, "cot", self.top_k)


@objective("on_policy", OnPolicyOptions, logprobs=True)
def fit(lesson: Lesson[OnPolicyOptions]) -> Outcome:
    """Fit an adapter on samples that the teacher has scored."""
    from trainer.own_words import learn_scores

    return learn_scores(lesson)
