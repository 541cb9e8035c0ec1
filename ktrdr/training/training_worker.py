"""The training worker, port 5005: `uvicorn ktrdr.training.training_worker:app`."""

from __future__ import annotations

from ktrdr.ml import validate_ml_dependencies
from ktrdr.operations import Kind
from ktrdr.training.mlp import Mlp
from ktrdr.worker import create_app

__all__ = ["app", "validate_ml_dependencies"]

app = create_app(Kind.TRAINING, Mlp)
