SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname = 'messages_origin';
CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION dbz_pub FOR ALL TABLES;
