s/^    error: Mapped\[str | None\] = mapped_column(/&"reason", /
