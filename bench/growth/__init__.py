"""How a rollout grows with its fleet: 1 to 64 simulated hosts on one machine."""
