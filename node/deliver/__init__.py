"""Getting report objects into archives, and proving that they are there.

One attempt is `deliver.deliver`; what follows from its outcome is decided, without I/O, by
`outcome.next_step`.
"""
