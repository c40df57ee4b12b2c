"""The demonstration: a node and a PACS, studies in by C-STORE, reports out."""
