from typing import Any

lookup_loader: Any
