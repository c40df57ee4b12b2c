-- A day, a bundle and a model: how many cases it answered, and how.
SELECT
    u.day,
    u.bundle_sha256,
    nullif(u.model, '') AS model,
    sum(u.cases) AS cases,
    sum(u.refused) AS refused,
    sum(u.malignant) AS malignant,
    sum(u.probabilities) / nullif(sum(u.scored), 0) AS mean_probability
FROM model_usage AS u
GROUP BY u.day, u.bundle_sha256, u.model
HAVING sum(u.cases) > 0
