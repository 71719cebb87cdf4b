"""The ground floor: settings, the Celery app, errors, prompts and the local stack.

`db`, `producer`, `workers`, `trainer` and `cli` may import this package. It imports none of them.
"""

__version__ = "0.1.0"
