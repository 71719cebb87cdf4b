"""The teacher's hidden states: the student's are led to them through a learned projection, beside imitation.

Romero et al. 2015, FitNets, arXiv:1412.6550; Jiao et al. 2020, TinyBERT, arXiv:1909.10351. The teacher is loaded
beside the student, frozen, in its own precision. A token's loss is its cross-entropy + w × the mean over the pairs of
layers of the distance between the projected and the teacher's state from which the token is predicted. The projections
are trained with the adapter and thrown away afterwards.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from tracemill.errors import UsageError
from trainer.objectives.base import Lesson, Outcome, TeacherOptions, objective

if TYPE_CHECKING:
    from torch import Tensor

#: Pairs of layers when none are named.
PAIRS = 4


class FeaturesOptions(TeacherOptions):
    """`[fit.features]`."""

    #: (student layer, teacher layer) pairs, 1 is the first layer; empty: the ends of the student's quarters.
    layers: tuple[tuple[PositiveInt, PositiveInt], ...] = ()
    #: mse (squared distance in units of the teacher's own mean square) or cosine (1 − cosine).
    distance: Literal["mse", "cosine"] = "mse"
    #: Weight of the distance beside the loss of the imitation.
    feature_weight: float = Field(default=1.0, gt=0)


@objective("features", FeaturesOptions)
def fit(lesson: Lesson[FeaturesOptions]) -> Outcome:
    """Fit an adapter on traces and the states of `lesson.teachers[0]`.

    Raises UsageError when the teacher's tokens are not the student's, or a layer is not there.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from trainer.completion import Pass
    from trainer.imitation import imitate
    from trainer.student import device
    from trainer.training import require_same_tokens

    require_same_tokens(AutoTokenizer.from_pretrained(lesson.model), lesson.teachers, "features")
    teacher = AutoModelForCausalLM.from_pretrained(lesson.teachers[0], dtype="auto", device_map={"": device()})
    teacher.requires_grad_(False).eval()
    own, others = AutoConfig.from_pretrained(lesson.model).get_text_config(), teacher.config.get_text_config()
    pairs = lesson.options.layers or evenly(own.num_hidden_layers, others.num_hidden_layers)
    for student_layer, teacher_layer in pairs:
        if student_layer > own.num_hidden_layers or teacher_layer > others.num_hidden_layers:
            raise UsageError(
                f"fit.features.layers: there is no pair ({student_layer}, {teacher_layer}): the student has "
                f"{own.num_hidden_layers} layers, the teacher {others.num_hidden_layers}"
            )
    projections = torch.nn.ModuleList(
        projection(own.hidden_size, others.hidden_size, lesson.fit.seed + place) for place in range(len(pairs))
    ).to(device())

    def losses(model: Any, inputs: Any) -> Any:
        seen = Pass(model, inputs, hidden_states=True)
        with torch.no_grad():
            states = teacher(input_ids=inputs["input_ids"], use_cache=False, output_hidden_states=True).hidden_states
        apart = [
            distance(project(seen.hidden(ours).float()), seen.at_places(states[its]).float(), lesson.options.distance)
            for project, (ours, its) in zip(projections, pairs, strict=True)
        ]
        return seen.cross_entropy() + lesson.options.feature_weight * torch.stack(apart).mean(0)

    def prepare(model: Any) -> None:
        model.projections = projections  # a part of the model, so that the optimiser finds it

    return imitate(lesson, losses=losses, prepare=prepare)


def evenly(student: int, teacher: int) -> tuple[tuple[int, int], ...]:
    """Pairs of layers at the ends of equal parts of both: (student layer, teacher layer), 1 is the first."""
    parts = min(PAIRS, student, teacher)
    return tuple((round(student * part / parts), round(teacher * part / parts)) for part in range(1, parts + 1))


def projection(student: int, teacher: int, seed: int) -> Any:
    """A linear map between the widths: the identity where they are equal, else random."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = torch.nn.Linear(student, teacher, bias=False)
    if student == teacher:
        torch.nn.init.eye_(made.weight)
    return made


def distance(student: "Tensor", teacher: "Tensor", kind: str) -> "Tensor":
    """How far apart two states (N × width) are: N. See `FeaturesOptions.distance`."""
    import torch

    if kind == "cosine":
        return 1 - torch.nn.functional.cosine_similarity(student, teacher, dim=-1)
    return (student - teacher).square().mean(-1) / teacher.square().mean(-1).clamp(min=1e-6)
