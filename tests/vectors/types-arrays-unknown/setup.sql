CREATE TYPE pair AS (a int, b text); CREATE DOMAIN whole AS int;
CREATE TABLE t00 (id int PRIMARY KEY, v box[]); -- box[]
CREATE TABLE t01 (id int PRIMARY KEY, v circle[]); -- circle[]
CREATE TABLE t02 (id int PRIMARY KEY, v tsquery[]); -- tsquery[]
CREATE TABLE t03 (id int PRIMARY KEY, v pg_lsn[]); -- pg_lsn[]
CREATE TABLE t04 (id int PRIMARY KEY, v pair[]); -- pair[]
CREATE TABLE t05 (id int PRIMARY KEY, v whole[]); -- whole[]
CREATE TABLE t06 (id int PRIMARY KEY, v tsvector[]); -- tsvector[]
CREATE PUBLICATION dbz_pub FOR ALL TABLES;
