from typing import Any

class LookupBase:
    _loader: Any
    _templar: Any
    def find_file_in_search_path(self, myvars: Any, subdir: str, needle: str, ignore_missing: bool = False) -> Any: ...
