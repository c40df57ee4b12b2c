-- One row a case and generation: what was said, by which model of which bundle, and where it stands.
SELECT
    f.case_name,
    j.id AS job_id,
    j.seg_uid,
    j.generation,
    j.study_instance_uid,
    j.patient_id,
    j.state,
    f.status,
    f.probability,
    f.malignancy,
    f.refusal_code,
    f.finding ->> 'model' AS model,
    f.bundle_sha256,
    f.created_at AS assessed_at,
    r.sop_instance_uid AS report_uid,
    (SELECT count(*) FROM job AS later
     WHERE later.seg_uid = j.seg_uid AND later.generation > j.generation) = 0 AS latest
FROM finding AS f
JOIN job AS j ON j.id = f.job_id
LEFT JOIN report AS r ON r.job_id = j.id AND r.kind = 'sr'
