"""De-identification by PS3.15 annex E: attributes, UIDs, dates and burned-in text. No database."""
