from typing import Any, Mapping

CLIARGS: Mapping[str, Any]
