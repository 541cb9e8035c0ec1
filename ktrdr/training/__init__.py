"""Trainings: a small neural network, in torch."""
