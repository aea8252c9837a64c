"""The command `ttc`, for `tests.support.fork_server.ForkedScript`."""

from calibration.cli.app import app

app()
