"""The backtest worker, port 5003: `uvicorn ktrdr.backtesting.backtest_worker:app`."""

from __future__ import annotations

from ktrdr.backtesting.crossover import Crossover
from ktrdr.ml import validate_ml_dependencies
from ktrdr.operations import Kind
from ktrdr.worker import create_app

__all__ = ["app", "validate_ml_dependencies"]

app = create_app(Kind.BACKTEST, Crossover)
