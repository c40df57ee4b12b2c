"""Pipeline: the intended-use gate, then a finding or a refusal for every case."""
