/^    losses: Mapped/a\    note: Mapped[str | None] = mapped_column(sa.Text, default=None)
