"""The recall audit: searches held against exact ones."""
