-- A day, a bundle and a model: how many cases it answered, and how.
SELECT
    {day:f.created_at} AS day,
    f.bundle_sha256,
    f.finding ->> 'model' AS model,
    count(*) AS cases,
    sum(CASE WHEN f.status = 'refused' THEN 1 ELSE 0 END) AS refused,
    sum(CASE WHEN f.malignancy = 'malignant' THEN 1 ELSE 0 END) AS malignant,
    avg(f.probability) AS mean_probability
FROM finding AS f
GROUP BY {day:f.created_at}, f.bundle_sha256, f.finding ->> 'model'
