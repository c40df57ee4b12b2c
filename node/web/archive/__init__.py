"""What the node holds, by DICOMweb: QIDO-RS and WADO-RS (PS3.18 sections 10.4 and 10.6)."""
