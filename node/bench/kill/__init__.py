"""The kill matrix: processes die at every stage boundary and at random, and nothing is lost.

Real parts throughout: the node as an admin starts it, Orthanc as the archive, SQLite or PostgreSQL
below, and a modality that sends until it has its acknowledgement.
"""
