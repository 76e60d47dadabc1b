"""Which database a job works on: one that somebody named, or that is there. Nothing is made by the way."""

from deployments.env_file import load_env_file
from deployments.settings import Settings
from deployments.storage.postgres.embedded import check_known
from deployments.storage.postgres.schema import prepare


def prepared_settings(*, creates: bool = False) -> Settings:
    """Read the environment and `.env`, and have the database ready.

    `creates`: make the embedded database where a data directory is named that has none.
    Raises `ConfigurationError`, or `DatabaseUnavailableError`.
    """
    load_env_file()
    settings = Settings.load()
    if settings.database.url is None:
        check_known(settings.runtime, creates=creates)
    prepare(settings)
    return settings
