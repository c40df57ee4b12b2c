"""The statistics of a study in small pure functions, each with its source."""
