"""The format of a bundle on disk, and the bundles that are shipped, each a folder of its own."""
