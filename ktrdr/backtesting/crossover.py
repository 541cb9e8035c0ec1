"""A moving-average crossover over a random walk, a chunk of bars a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ktrdr.ml import noise
from ktrdr.operations import Json, Params

if TYPE_CHECKING:
    import torch

BARS, FAST, SLOW = 64, 8, 32
VOLATILITY = 0.01


class Crossover:
    """Long while the fast average is above the slow one, else flat."""

    def __init__(self, params: Params, device: torch.device, checkpoint: Json | None = None) -> None:
        self._seed, self._device = params.seed, device
        state = checkpoint or {}
        self.step_number: int = state.get("step", 0)
        self._prices: list[float] = state.get("prices", [100.0] * SLOW)
        self._long: bool = state.get("long", False)
        self._equity: float = state.get("equity", 1.0)
        self._peak: float = state.get("peak", 1.0)
        self._drawdown: float = state.get("drawdown", 0.0)
        self._trades: int = state.get("trades", 0)

    def step(self) -> None:
        """Trade the next BARS bars."""
        import torch

        moves = (noise(self._seed, self.step_number, BARS) * VOLATILITY).to(self._device)
        before = torch.tensor(self._prices, dtype=torch.float64, device=self._device)
        prices = torch.cat([before, before[-1] * moves.cumsum(0).exp()])
        fast = prices.unfold(0, FAST, 1).mean(1)[-BARS:]
        slow = prices.unfold(0, SLOW, 1).mean(1)[-BARS:]
        wanted = fast > slow
        # What the averages say at the end of a bar is held during the next one.
        held = torch.cat([torch.tensor([self._long], device=self._device), wanted[:-1]])
        equity = self._equity * (moves * held).cumsum(0).exp()
        peaks = torch.cat([torch.tensor([self._peak], dtype=torch.float64, device=self._device), equity])
        peaks = peaks.cummax(0).values
        self._drawdown = max(self._drawdown, float((1 - equity / peaks[1:]).max()))
        self._trades += int((held != wanted).sum())
        self._long, self._equity, self._peak = bool(wanted[-1]), float(equity[-1]), float(peaks[-1])
        self._prices = prices[-SLOW:].tolist()
        self.step_number += 1

    def checkpoint(self) -> Json:
        """All that the rest depends on; JSON keeps a float64 exactly."""
        return {
            "step": self.step_number,
            "prices": self._prices,
            "long": self._long,
            "equity": self._equity,
            "peak": self._peak,
            "drawdown": self._drawdown,
            "trades": self._trades,
        }

    def result(self) -> Json:
        """Fractions of the initial capital, rounded to what every device agrees on."""
        return {
            "bars": self.step_number * BARS,
            "trades": self._trades,
            "return": round(self._equity - 1, 6),
            "max_drawdown": round(self._drawdown, 6),
            "last_price": round(self._prices[-1], 4),
        }
