"""Write the table of scores into docs/verification.md, by `python docs/make_scores.py`."""

from pathlib import Path

from tracemill.scores import SCORES

PAGE = Path(__file__).with_name("verification.md")
BEGIN, END = "<!-- scores -->\n", "<!-- /scores -->"


def page() -> str:
    """The page with today's table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = [f"| `{score.name}` | {score.about} | {score.unit} | {score.limits} |" for score in SCORES]
    lines = ["| score | what it is | unit | what it cannot tell |", "|---|---|---|---|", *rows, ""]
    return before + BEGIN + "\n".join(lines) + END + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
