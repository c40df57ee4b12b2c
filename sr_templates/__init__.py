"""The words and trees of the Structured Report, free of any knowledge of the node."""
