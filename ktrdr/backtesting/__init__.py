"""Backtests: a trading rule over a price series, in torch."""
