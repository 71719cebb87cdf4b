"""The ground floor: settings, the Celery app, errors, prompts and the local stack.

Everything above (`db`, `producer`, `workers`, `trainer`, `cli`) may import this package; it imports none of them.
"""

__version__ = "0.1.0"
