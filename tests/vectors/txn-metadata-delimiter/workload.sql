INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'm', 'x');
