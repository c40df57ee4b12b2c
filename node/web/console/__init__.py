"""The console: what admins and radiologists see of the node, and what they may do to it.

A file a page's read model (what is asked of the database) and a file a page's routes.
"""
