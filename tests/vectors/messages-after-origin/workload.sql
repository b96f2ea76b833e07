SELECT pg_logical_emit_message(false, 'm', 'before'); SELECT pg_replication_origin_create('messages_origin'); SELECT pg_replication_origin_session_setup('messages_origin');
BEGIN; SELECT pg_replication_origin_xact_setup('0/ABC', '2024-01-02 03:04:05+00'); INSERT INTO t VALUES (1); COMMIT;
SELECT pg_logical_emit_message(false, 'm', 'after'); SELECT pg_replication_origin_session_reset(); INSERT INTO t VALUES (2); SELECT pg_logical_emit_message(false, 'm', 'last');
