"""Jobs: durable work on a queue engine; the truth stands in our own tables."""
