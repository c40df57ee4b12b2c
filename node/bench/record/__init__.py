"""Records of any size, as a working node would have written them, and what they cost to ask.

A few studies go through a real node beside a real archive; what that node wrote is the mould, from
which any number of studies are cast: their own identifiers, times, numbers, seals and chain.
"""
