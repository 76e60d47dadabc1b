"""The optional last stage of a search: a model that reads query and message together reorders the hits."""
