"""Who executes a ChipProgram in integers: `plain` is the definition (numpy), `fast` the same in compiled loops.

Both take the same request and give the same numbers, bit for bit.  `backends/sim` shows them to users, and `lower`
looks at registers with them.
"""

from __future__ import annotations

from .base import Execution, Request, spike_dtype

__all__ = ["Execution", "Request", "spike_dtype"]
