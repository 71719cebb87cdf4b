"""Rounds that repeat one recipe with other seeds: a claim about a recipe needs several of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from db.queries import Q
from trainer.spec import parse

#: The settings in which seeds of a recipe differ: at least in one of SEEDS, and possibly in the round of `like`.
SEEDS = ("select.seed", "fit.seed")
LIKE = "select.like"


def settings_of(round_row: Mapping[str, Any]) -> dict[str, Any]:
    """A round's spec as this release writes it, whichever release stored it."""
    return parse(round_row["spec"], f"round '{round_row['name']}'").model_dump(mode="json")


def dev_jobs(round_row: Mapping[str, Any]) -> list[str]:
    """The evaluation jobs of a round that are measured to choose by, and not reported."""
    return parse(round_row["spec"], f"round '{round_row['name']}'").dev_jobs


def differing(first: Mapping[str, Any], second: Mapping[str, Any], under: str = "") -> Iterator[dict[str, Any]]:
    """Yield the settings in which two rounds differ, each as {key, first, second}."""
    for key in dict.fromkeys((*first, *second)):
        old, new = first.get(key), second.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differing(old, new, f"{under}{key}.")
        elif old != new and f"{under}{key}" != "name":
            yield {"key": f"{under}{key}", "first": old, "second": new}


def no_seeds_of_one_recipe(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """The reason why two rounds' settings are not two seeds of one recipe; None if they are."""
    keys = [each["key"] for each in differing(first, second)]
    others = [key for key in keys if key not in (*SEEDS, LIKE)]
    if others:
        return f"they differ in {', '.join(others)}"
    return None if set(keys) & set(SEEDS) else f"they have the same seeds ({', '.join(SEEDS)})"


def seeds_of(connection: Connection, round_row: Mapping[str, Any]) -> list[str]:
    """The finished rounds of a round's recipe by name, one for each seed, with the round itself."""
    own = settings_of(round_row)
    values = {"student": own["student"], "jobs": own["evaluate"]["jobs"]}
    rows = connection.execute(Q["rounds_of_student"], values).mappings()
    by_seed = {_seeds(own): round_row["name"]}
    for row in map(dict, rows):
        other = settings_of(row)
        if no_seeds_of_one_recipe(own, other) is None:
            by_seed.setdefault(_seeds(other), row["name"])
    return sorted(by_seed.values())


def _seeds(settings: Mapping[str, Any]) -> tuple[int, int]:
    return settings["select"]["seed"], settings["fit"]["seed"]
