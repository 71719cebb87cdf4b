"""The teacher's hidden states: a learned projection of the student's states approaches them, beside imitation.

Romero et al. 2015, FitNets, arXiv:1412.6550; Jiao et al. 2020, TinyBERT, arXiv:1909.10351. The teacher is loaded
beside the student, frozen, in its own precision. The loss of a token is its cross-entropy + w × a mean distance. The
mean is over pairs of layers; the distance is between the two states that predict the token, the student's projected
state and the teacher's. The projections are trained with the adapter and deleted afterwards.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from tracemill.errors import UsageError
from trainer.objectives.base import Lesson, Outcome, TeacherOptions, objective
from trainer.rows import load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

#: Pairs of layers if the options name none.
N_PAIRS = 4


class FeaturesOptions(TeacherOptions):
    """`[fit.features]`."""

    #: (student layer, teacher layer) pairs, 1 is the first layer; empty: the last layer of each quarter.
    layers: tuple[tuple[PositiveInt, PositiveInt], ...] = ()
    #: mse (squared distance in units of the teacher's own mean square) or cosine (1 − cosine).
    distance: Literal["mse", "cosine"] = "mse"
    #: Weight of the distance; the imitation has weight 1.
    feature_weight: float = Field(default=1.0, gt=0)


@objective("features", FeaturesOptions)
def fit(lesson: Lesson[FeaturesOptions]) -> Outcome:
    """Fit an adapter on traces and the states of `lesson.teachers[0]`.

    Raises UsageError when the teacher has other tokens than the student, or a layer does not exist.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from trainer.completion import Pass
    from trainer.imitation import imitate
    from trainer.student import device
    from trainer.training import require_same_tokens

    require_same_tokens(load_tokenizer(lesson.model), lesson.teachers, "features")
    teacher = AutoModelForCausalLM.from_pretrained(
        lesson.teachers[0], trust_remote_code=False, use_safetensors=True, dtype="auto", device_map={"": device()}
    )
    teacher.requires_grad_(False).eval()
    config = AutoConfig.from_pretrained(lesson.model, trust_remote_code=False)
    ours, theirs = config.get_text_config(), teacher.config.get_text_config()
    pairs = lesson.options.layers or evenly(ours.num_hidden_layers, theirs.num_hidden_layers)
    for student_layer, teacher_layer in pairs:
        if student_layer > ours.num_hidden_layers or teacher_layer > theirs.num_hidden_layers:
            raise UsageError(
                f"fit.features.layers: there is no pair ({student_layer}, {teacher_layer}): the student has "
                f"{ours.num_hidden_layers} layers, the teacher {theirs.num_hidden_layers}"
            )
    projections = torch.nn.ModuleList(
        projection(ours.hidden_size, theirs.hidden_size, lesson.fit.seed + index) for index in range(len(pairs))
    ).to(device())

    def losses(model: Any, inputs: Any) -> Any:
        forward = Pass(model, inputs, hidden_states=True)
        ids = inputs["input_ids"]
        with torch.no_grad():
            outputs = teacher(
                input_ids=ids, use_cache=False, logits_to_keep=ids.new_empty(0), output_hidden_states=True
            )
        distances = [
            distance(
                project(forward.hidden(student_layer).float()),
                forward.at_positions(outputs.hidden_states[teacher_layer]).float(),
                lesson.options.distance,
            )
            for project, (student_layer, teacher_layer) in zip(projections, pairs, strict=True)
        ]
        return forward.cross_entropy() + lesson.options.feature_weight * torch.stack(distances).mean(0)

    def prepare(model: Any) -> None:
        model.projections = projections  # so that the optimiser trains them as well

    return imitate(lesson, losses=losses, prepare=prepare, keeps_states=True)


def evenly(student: int, teacher: int) -> tuple[tuple[int, int], ...]:
    """(student layer, teacher layer) pairs: the last layers of equal parts of both models; 1 is the first layer."""
    parts = min(N_PAIRS, student, teacher)
    return tuple((round(student * part / parts), round(teacher * part / parts)) for part in range(1, parts + 1))


def projection(student: int, teacher: int, seed: int) -> Any:
    """A linear map between the widths: the identity where they are equal, else random."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        linear = torch.nn.Linear(student, teacher, bias=False)
    if student == teacher:
        torch.nn.init.eye_(linear.weight)
    return linear


def distance(student: "Tensor", teacher: "Tensor", kind: str) -> "Tensor":
    """Distances of N pairs of states (N × width). `kind`: see `FeaturesOptions.distance`."""
    import torch

    if kind == "cosine":
        return 1 - torch.nn.functional.cosine_similarity(student, teacher, dim=-1)
    return (student - teacher).square().mean(-1) / teacher.square().mean(-1).clamp(min=1e-6)
