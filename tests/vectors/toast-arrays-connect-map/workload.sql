INSERT INTO t00 VALUES (1, 1, array_fill(7::smallint, ARRAY[2000])); UPDATE t00 SET n = 2;
INSERT INTO t01 VALUES (1, 1, array_fill('2024-01-01'::timestamptz, ARRAY[500])); UPDATE t01 SET n = 2;
INSERT INTO t02 VALUES (1, 1, array_fill('2024-01-01'::date, ARRAY[500])); UPDATE t02 SET n = 2;
INSERT INTO t03 VALUES (1, 1, array_fill('C'::citext, ARRAY[300])); UPDATE t03 SET n = 2;
INSERT INTO t04 VALUES (1, 1, ARRAY[repeat('a', 2100)]); UPDATE t04 SET n = 2;
INSERT INTO t05 VALUES (1, 1, hstore('k', repeat('h', 2100))); UPDATE t05 SET n = 2;
INSERT INTO t06 VALUES (1, 1, repeat('d', 2100)); UPDATE t06 SET n = 2;
