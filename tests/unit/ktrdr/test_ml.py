"""Both workers refuse to start from an image without torch."""

from __future__ import annotations

import importlib
import sys

import pytest

WORKERS = pytest.mark.parametrize("name", ["ktrdr.backtesting.backtest_worker", "ktrdr.training.training_worker"])


@WORKERS
def test_validate_ml_dependencies_passes_with_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    importlib.import_module(name).validate_ml_dependencies()
    assert sys.modules["torch"] is torch


@WORKERS
def test_validate_ml_dependencies_fails_without_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = importlib.import_module(name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RuntimeError) as caught:
        worker.validate_ml_dependencies()
    assert str(caught.value) == (
        "Worker requires ML dependencies but torch is not installed. "
        "This usually means the wrong Docker image was deployed. "
        "Workers should use 'ktrdr-worker-cpu' or 'ktrdr-worker-gpu', "
        "not 'ktrdr-backend'. "
        "Original error: import of torch halted; None in sys.modules"
    )
    assert isinstance(caught.value.__cause__, ImportError)
