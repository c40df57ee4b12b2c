"""What one study costs the database, what more workers gain, and where the end of that is."""
