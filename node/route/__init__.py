"""Routing rules: which sender, body part, description or lesion goes where. Pure decisions."""
