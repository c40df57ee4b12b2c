"""Web: STOW-RS in, health, and a page that shows what the node is doing."""
