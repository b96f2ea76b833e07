CREATE TABLE t00 (id int PRIMARY KEY, v date[]); -- date[]
CREATE TABLE t01 (id int PRIMARY KEY, v timestamp[]); -- timestamp[]
CREATE TABLE t02 (id int PRIMARY KEY, v timestamptz[]); -- timestamptz[]
CREATE TABLE t03 (id int PRIMARY KEY, v timestamptz(2)[]); -- timestamptz(2)[]
CREATE TABLE t04 (id int PRIMARY KEY, v time[]); -- time[]
CREATE TABLE t05 (id int PRIMARY KEY, v time(3)[]); -- time(3)[]
CREATE PUBLICATION dbz_pub FOR ALL TABLES;
