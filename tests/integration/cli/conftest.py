"""Fixtures of the tests of commands."""

import pytest

from db.session import transaction
from tests.integration.factory import change
from tests.integration.measured import finished_round
from tracemill.stack import Stack


@pytest.fixture
def rounds(clean: Stack) -> Stack:
    """A round that trained on the job `teach` and was measured with `held-out`."""
    with transaction() as connection:
        finished_round(connection)
    change("update jobs set state = 'done'")
    return clean
