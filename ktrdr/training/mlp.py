"""A two-layer network that learns a noisy sine by stochastic gradient descent, a batch a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ktrdr.ml import noise
from ktrdr.operations import Json, Params

if TYPE_CHECKING:
    import torch

BATCH, INPUTS, HIDDEN = 64, 4, 16
RATE, NOISE = 0.05, 0.1
# Steps that no training reaches, for what is drawn once.
WEIGHTS_AT, EXAM_AT = 1_000_001, 1_000_002


class Mlp:
    """Weights and the step they have reached."""

    def __init__(self, params: Params, device: torch.device, checkpoint: Json | None = None) -> None:
        import torch

        self._seed, self._device = params.seed, device
        state = checkpoint or {}
        self.step_number: int = state.get("step", 0)
        if "weights" in state:
            first, second = (torch.tensor(values, dtype=torch.float64) for values in state["weights"])
        else:
            drawn = noise(params.seed, WEIGHTS_AT, HIDDEN, INPUTS + 2) / INPUTS**0.5
            first, second = drawn[:, : INPUTS + 1], drawn[:, INPUTS + 1]
        self._weights = [w.to(device).clone().requires_grad_() for w in (first, second)]

    def step(self) -> None:
        """Learn from the next batch."""
        import torch

        gradients = torch.autograd.grad(self._loss(self.step_number), self._weights)
        with torch.no_grad():
            for weight, gradient in zip(self._weights, gradients, strict=True):
                weight -= RATE * gradient
        self.step_number += 1

    def checkpoint(self) -> Json:
        """The step and the weights; JSON keeps a float64 exactly."""
        return {"step": self.step_number, "weights": [w.tolist() for w in self._weights]}

    def result(self) -> Json:
        """Mean squared error on a batch not learned from, rounded to what every device agrees on."""
        import torch

        with torch.no_grad():
            norm = torch.stack([w.square().sum() for w in self._weights]).sum().sqrt()
            return {
                "batches": self.step_number,
                "loss": round(float(self._loss(EXAM_AT)), 6),
                "norm": round(float(norm), 6),
            }

    def _loss(self, batch: int) -> torch.Tensor:
        import torch

        drawn = noise(self._seed, batch, BATCH, INPUTS + 1).to(self._device)
        inputs, error = drawn[:, :INPUTS], drawn[:, INPUTS]
        wanted = inputs.sum(1).sin() + NOISE * error
        with_bias = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
        first, second = self._weights
        return ((with_bias @ first.T).tanh() @ second - wanted).square().mean()
