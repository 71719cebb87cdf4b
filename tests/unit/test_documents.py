"""What a sentence of the documents calls a command is one, with these options."""

import shlex
from typing import Any

import pytest
import typer

from cli.main import app
from tests.documented import mentions


@pytest.mark.parametrize("mention", sorted(set(mentions())))
def test_a_command_that_a_sentence_names_exists(mention: str) -> None:
    command: Any = typer.main.get_command(app)
    options = _options(command)
    for word in shlex.split(mention)[1:]:
        if word.startswith("-"):
            assert word in options, f"{mention}: no option {word}"
        elif hasattr(command, "commands"):
            assert word in command.commands, f"{mention}: no command {word}"
            command = command.commands[word]
            options |= _options(command)


def _options(command: Any) -> set[str]:
    return {"--help", *(name for parameter in command.params for name in parameter.opts)}
