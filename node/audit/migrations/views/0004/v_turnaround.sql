-- One row a job: seconds from the SEG's receipt to the finding and to the proof at all destinations.
SELECT
    j.id AS job_id,
    j.seg_uid,
    j.generation,
    j.study_instance_uid,
    j.patient_id,
    j.state,
    i.received_at,
    f.assessed_at,
    d.proven_at,
    {seconds:i.received_at:f.assessed_at} AS to_finding_s,
    {seconds:f.assessed_at:d.proven_at} AS to_proof_s,
    {seconds:i.received_at:d.proven_at} AS total_s
FROM job AS j
JOIN instance AS i ON i.sop_instance_uid = j.seg_uid AND i.version = 1
LEFT JOIN (
    SELECT job_id, min(created_at) AS assessed_at FROM finding GROUP BY job_id
) AS f ON f.job_id = j.id
LEFT JOIN (
    SELECT job_id, max(updated_at) AS proven_at
    FROM delivery
    GROUP BY job_id
    HAVING sum(CASE WHEN state = 'proven' THEN 0 ELSE 1 END) = 0
) AS d ON d.job_id = j.id
