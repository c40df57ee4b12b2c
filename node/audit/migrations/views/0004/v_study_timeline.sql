-- Everything that happened to a study, from the first byte to the proof; order it by at.
SELECT
    'instance' AS stage,
    id,
    at,
    study_instance_uid,
    patient_id,
    event,
    subject,
    actor,
    detail
FROM ledger_instance
WHERE study_instance_uid <> ''
UNION ALL
SELECT
    'case' AS stage,
    id,
    at,
    study_instance_uid,
    patient_id,
    event,
    subject,
    actor,
    detail
FROM ledger_case
WHERE study_instance_uid <> ''
UNION ALL
SELECT
    'job' AS stage,
    id,
    at,
    study_instance_uid,
    patient_id,
    event,
    subject,
    actor,
    detail
FROM ledger_job
WHERE study_instance_uid <> ''
UNION ALL
SELECT
    'finding' AS stage,
    id,
    at,
    study_instance_uid,
    patient_id,
    event,
    subject,
    actor,
    detail
FROM ledger_finding
WHERE study_instance_uid <> ''
UNION ALL
SELECT
    'report' AS stage,
    id,
    at,
    study_instance_uid,
    patient_id,
    event,
    subject,
    actor,
    detail
FROM ledger_report
WHERE study_instance_uid <> ''
UNION ALL
SELECT
    'delivery' AS stage,
    id,
    at,
    study_instance_uid,
    patient_id,
    event,
    subject,
    actor,
    detail
FROM ledger_delivery
WHERE study_instance_uid <> ''
UNION ALL
SELECT
    'reading' AS stage,
    id,
    at,
    study_instance_uid,
    patient_id,
    event,
    subject,
    actor,
    detail
FROM ledger_reading
WHERE study_instance_uid <> ''
