"""The backend: operations and workers over HTTP, kept in a database. Never imports torch."""
