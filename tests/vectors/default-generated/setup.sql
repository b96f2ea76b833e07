CREATE TABLE g (id int PRIMARY KEY, a text, t text GENERATED ALWAYS AS (a || 'x') STORED NOT NULL, u text GENERATED ALWAYS AS (upper(a)) STORED, b boolean GENERATED ALWAYS AS (id > 1) STORED, n int GENERATED ALWAYS AS (id * 2) STORED NOT NULL);
CREATE PUBLICATION dbz_pub FOR ALL TABLES WITH (publish_generated_columns = stored);
