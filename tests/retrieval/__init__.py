"""Questions of our own, labelled by hand, and the bar that retrieval must not fall below."""
