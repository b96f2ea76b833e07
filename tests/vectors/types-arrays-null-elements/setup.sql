CREATE EXTENSION ltree; CREATE EXTENSION vector;
CREATE TABLE t00 (id int PRIMARY KEY, v tsvector[]); -- tsvector[]
CREATE TABLE t01 (id int PRIMARY KEY, v ltree[]); -- ltree[]
CREATE TABLE t02 (id int PRIMARY KEY, v vector[]); -- vector[]
CREATE TABLE t03 (id int PRIMARY KEY, v sparsevec[]); -- sparsevec[]
CREATE TABLE t04 (id int PRIMARY KEY, v int2vector[]); -- int2vector[]
CREATE TABLE t05 (id int PRIMARY KEY, v oidvector[]); -- oidvector[]
CREATE TABLE t06 (id int PRIMARY KEY, v int2vector); -- int2vector
CREATE TABLE t07 (id int PRIMARY KEY, v oidvector); -- oidvector
CREATE PUBLICATION dbz_pub FOR ALL TABLES;
