"""The CRDL node: a DICOM-native PACS node for ultrasound soft-tissue tumours."""
