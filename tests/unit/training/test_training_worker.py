"""The training worker refuses to start from an image without torch."""

from __future__ import annotations

import sys

import pytest


def test_validate_ml_dependencies_passes_with_torch() -> None:
    """Should not raise when torch is available."""
    pytest.importorskip("torch")
    from ktrdr.training.training_worker import validate_ml_dependencies

    validate_ml_dependencies()  # Should not raise


def test_validate_ml_dependencies_fails_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should raise RuntimeError when torch is missing."""
    from ktrdr.training.training_worker import validate_ml_dependencies

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RuntimeError) as caught:
        validate_ml_dependencies()
    assert str(caught.value) == (
        "Worker requires ML dependencies but torch is not installed. "
        "This usually means the wrong Docker image was deployed. "
        "Workers should use 'ktrdr-worker-cpu' or 'ktrdr-worker-gpu', "
        "not 'ktrdr-backend'. "
        "Original error: import of torch halted; None in sys.modules"
    )
    assert isinstance(caught.value.__cause__, ImportError)
