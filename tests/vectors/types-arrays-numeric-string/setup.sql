CREATE TABLE t00 (id int PRIMARY KEY, v numeric[]); -- numeric[]
CREATE TABLE t01 (id int PRIMARY KEY, v numeric(6,2)[]); -- numeric(6,2)[]
CREATE TABLE t02 (id int PRIMARY KEY, v numeric(4,-2)); -- numeric(4,-2)
CREATE PUBLICATION dbz_pub FOR ALL TABLES;
