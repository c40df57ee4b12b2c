-- One row a job: seconds from the SEG's receipt to the finding and to the proof at all destinations.
SELECT
    j.id AS job_id,
    j.seg_uid,
    j.generation,
    j.study_instance_uid,
    j.patient_id,
    j.state,
    j.received_at,
    j.assessed_at,
    j.proven_at,
    {seconds:j.received_at:j.assessed_at} AS to_finding_s,
    {seconds:j.assessed_at:j.proven_at} AS to_proof_s,
    j.total_s
FROM job AS j
