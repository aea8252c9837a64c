"""``python -m calibration.cli`` is ``ttc``."""

from calibration.cli.app import app

if __name__ == "__main__":
    app()
