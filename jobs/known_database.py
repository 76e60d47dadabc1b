"""Which database a job works on: one that somebody named, or that is there. Nothing is made by the way."""

from deployments.env_file import load_env_file
from deployments.errors import ConfigurationError
from deployments.settings import RuntimeSettings, Settings
from deployments.storage.embedded import made_by
from deployments.storage.schema import prepare


def prepared_settings(*, creates: bool = False) -> Settings:
    """Read the environment and `.env`, and have the database ready.

    `creates`: make the embedded database where a data directory is named that has none.
    Raises `ConfigurationError`, or `DatabaseUnavailableError`.
    """
    load_env_file()
    settings = Settings.load()
    if settings.database.url is None:
        _check_known(settings.runtime, creates=creates)
    prepare(settings)
    return settings


def _check_known(runtime: RuntimeSettings, *, creates: bool) -> None:
    try:
        exists = made_by(runtime.data_dir) is not None
    except PermissionError as error:
        raise ConfigurationError(f"MEMORY_DATA_DIR: no permission for {error.filename}") from error
    if exists:
        return
    if "data_dir" not in runtime.model_fields_set:
        raise ConfigurationError(
            "Which database? Set MEMORY_DATA_DIR to where the service keeps its data (`make serve`: .data), "
            "or MEMORY_DATABASE_URL"
        )
    if not creates:
        raise ConfigurationError(f"MEMORY_DATA_DIR: there is no database under {runtime.data_dir}")
