"""Changes nothing: it is the code that is wrong."""

revision = "0003"
down_revision = "0002"


def upgrade():
    pass
