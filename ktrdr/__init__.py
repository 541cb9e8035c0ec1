"""ktrdr, the reference application: a backend that keeps operations, and workers that run them."""
