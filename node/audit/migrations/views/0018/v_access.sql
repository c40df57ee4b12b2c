-- Who did what: persons, programs with a token, logins and refusals on the web, and the systems
-- that opened or were refused an association.
SELECT
    'system' AS ledger,
    id,
    at,
    CAST(actor AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_system
WHERE actor LIKE 'person:%'
UNION ALL
SELECT
    'instance' AS ledger,
    id,
    at,
    CAST(actor AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_instance
WHERE actor LIKE 'person:%'
UNION ALL
SELECT
    'case' AS ledger,
    id,
    at,
    CAST(actor AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_case
WHERE actor LIKE 'person:%'
UNION ALL
SELECT
    'job' AS ledger,
    id,
    at,
    CAST(actor AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_job
WHERE actor LIKE 'person:%'
UNION ALL
SELECT
    'finding' AS ledger,
    id,
    at,
    CAST(actor AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_finding
WHERE actor LIKE 'person:%'
UNION ALL
SELECT
    'report' AS ledger,
    id,
    at,
    CAST(actor AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_report
WHERE actor LIKE 'person:%'
UNION ALL
SELECT
    'delivery' AS ledger,
    id,
    at,
    CAST(actor AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_delivery
WHERE actor LIKE 'person:%'
UNION ALL
SELECT
    'reading' AS ledger,
    id,
    at,
    CAST(actor AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_reading
WHERE actor LIKE 'person:%'
UNION ALL
SELECT
    'access' AS ledger,
    id,
    at,
    CAST(actor AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_access
UNION ALL
SELECT
    'association' AS ledger,
    id,
    at,
    CAST(coalesce(detail ->> 'calling_ae', actor) AS text) AS who,
    event,
    subject,
    study_instance_uid,
    patient_id,
    detail
FROM ledger_association
