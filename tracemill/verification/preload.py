"""Load math-verify before the first child is forked. Only the server of `fork_server` imports this module.

Its import takes a second, its first comparison builds parser tables, and sympy's first integral loads more of sympy;
forked children inherit all of it.
"""

import logging
import os
from contextlib import suppress

from tracemill.verification.answers import math_verify
from tracemill.verification.answers.expressions import same
from tracemill.verification.checks import Item, check

with suppress(PermissionError):  # it leads a group already
    os.setsid()
logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its timeouts are off; the pool has its own
check(Item(r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{\sqrt{2}}{2}"))
math_verify.equal(r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}")
same("1", r"\int_0^1 2x dx")
