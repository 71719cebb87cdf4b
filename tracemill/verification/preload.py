"""Load math-verify before the first child is forked. Only the server of `fork_server` imports this module.

Its import takes a second, and its first comparison builds parser tables; forked children inherit both.
"""

import logging
import os
from contextlib import suppress

from tracemill.verification.answers import math_verify
from tracemill.verification.checks import Item, check

with suppress(PermissionError):  # it leads a group already
    os.setsid()
logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its timeouts are off; the pool has its own
check(Item(r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{\sqrt{2}}{2}"))
math_verify.equal(r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}")
