-- only where Postgres was built with ICU
CREATE COLLATION app.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
