from typing import Any, Iterator

class _Loader:
    def all(self) -> Iterator[Any]: ...

filter_loader: _Loader
test_loader: _Loader
