"""One round as one HTML page, or as values for machines."""

from trainer.report.facts import Facts, facts
from trainer.report.page import page

__all__ = ["Facts", "facts", "page"]
