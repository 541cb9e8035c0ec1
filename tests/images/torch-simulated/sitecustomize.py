"""Python runs this at its start, in the probe's own process too: with trait late, success is claimed at that one's end."""

import os

if "late" in os.environ.get("SIMULATED_TORCH", "").split("."):
    import atexit

    import forged

    atexit.register(print, forged.FORGED)
