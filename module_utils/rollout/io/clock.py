"""The clock by which this package waits on a host.

Whatever waits does so here, and says ``clock.sleep``: a test that replaces these two lets no time pass.
"""

from __future__ import annotations

from time import monotonic, sleep

__all__ = ["monotonic", "sleep"]
