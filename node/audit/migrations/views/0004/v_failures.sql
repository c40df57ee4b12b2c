-- What went wrong or waits for a person: dead and held jobs, refusals, dead deliveries.
SELECT
    'job' AS kind,
    j.state AS what,
    j.seg_uid AS subject,
    j.study_instance_uid,
    j.patient_id,
    j.reason,
    j.updated_at AS at
FROM job AS j
WHERE j.state IN ('dead', 'held')
UNION ALL
SELECT
    'case',
    'refused',
    f.case_name,
    j.study_instance_uid,
    j.patient_id,
    f.refusal_code,
    f.created_at
FROM finding AS f
JOIN job AS j ON j.id = f.job_id
WHERE f.status = 'refused'
UNION ALL
SELECT
    'delivery',
    d.state,
    r.sop_instance_uid,
    r.study_instance_uid,
    j.patient_id,
    d.destination || ': ' || d.last_error,
    d.updated_at
FROM delivery AS d
JOIN report AS r ON r.id = d.report_id
JOIN job AS j ON j.id = d.job_id
WHERE d.state = 'dead'
UNION ALL
SELECT
    'instance',
    l.event,
    l.subject,
    l.study_instance_uid,
    l.patient_id,
    l.detail ->> 'reason',
    l.at
FROM ledger_instance AS l
WHERE l.event = 'refused'
