"""The old name of `jobs.transfer`, for scripts that read files of other products. It goes with the next release."""
