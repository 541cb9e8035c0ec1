"""The environment variables of the application: each field is `KTRDR_` and its name in capitals, but for `REHEARSAL`.

`KTRDR_PORT` and `KTRDR_HEALTH_PATH` are read by the images' health check alone.
"""

from __future__ import annotations

import socket
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url


class Settings(BaseSettings):
    """What backend and workers are told. Times are in seconds."""

    # A refused value may be a secret in the wrong variable: keep it out of the message.
    model_config = SettingsConfigDict(env_prefix="KTRDR_", hide_input_in_errors=True)

    release: str = "dev"

    # Backend.
    database_url: str = "sqlite:///./ktrdr.db"
    database_password: SecretStr | None = None
    # Make the tables at first use, where no job does. Always with SQLite.
    migrate: bool = False
    # Started beside the release that runs, to see whether it would: nothing is written.
    rehearsal: bool = Field(default=False, validation_alias="REHEARSAL")
    worker_timeout_seconds: float = Field(default=10.0, gt=0)
    max_losses: int = Field(default=3, ge=1)

    # Workers.
    backend_url: str = "http://127.0.0.1:8000"
    worker_id: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    heartbeat_seconds: float = Field(default=2.0, gt=0)
    # An idle worker asks this often: the backend pays 2 ms of its processor for each time.
    poll_seconds: float = Field(default=2.0, gt=0)
    checkpoint_seconds: float = Field(default=1.0, gt=0)
    grace_seconds: float = Field(default=10.0, ge=0)

    def database(self) -> URL:
        """The database's URL with the password put in, whatever characters it has.

        Raises sqlalchemy.exc.ArgumentError where `database_url` is no URL.
        """
        url = make_url(self.database_url)
        if self.database_password is None or url.get_backend_name() == "sqlite":
            return url
        return url.set(password=self.database_password.get_secret_value())
