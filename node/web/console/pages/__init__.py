"""The routes of the console, a file a page."""
