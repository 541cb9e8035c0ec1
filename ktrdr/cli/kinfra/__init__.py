"""The command kinfra: sandboxes beside each other on one machine. It runs beside the engine, in no image."""
