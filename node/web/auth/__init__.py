"""Who may reach what on the web: identities, needs of routes, and the gate between them."""
