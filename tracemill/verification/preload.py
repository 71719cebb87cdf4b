"""Loaded only by the fork server of `fork_server`: makes math-verify ready before the first child is forked.

The first comparison builds parser tables for 0.1 s; forked children inherit them.
"""

import logging
import os
from contextlib import suppress

from tracemill.verification.checks import Item, check

with suppress(PermissionError):  # it already leads a group
    os.setsid()
logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its timeouts are off: they are, on purpose
check(Item(r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{\sqrt{2}}{2}"))
