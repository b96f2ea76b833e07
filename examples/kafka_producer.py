"""Debezium's events into Kafka, without Kafka Connect: topics, keys and tombstones as Debezium's.

    psql -f examples/setup_postgres.sql     # once
    python examples/kafka_producer.py

A change is acknowledged to PostgreSQL when all brokers that must have it do. Killed in between, the
program sends it again: consumers see every change at least once and each key's in order, and can
tell what comes again by the header "position". Topics that are missing the brokers make themselves
(auto.create.topics.enable); the client remarks on each once.

PostgreSQL is found by PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE, Kafka by KAFKA_SERVERS.
Needs aiokafka. When you are done: SELECT pg_drop_replication_slot('kafka_producer').
"""

from __future__ import annotations

import asyncio
import os

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from pgoutput_decoder import LogicalReplicationReader, ReplicationError, ReplicationMessage

SLOT = "kafka_producer"


async def publish(producer: AIOKafkaProducer, batch: list[ReplicationMessage]) -> None:
    """Sends a batch and returns when the brokers have it."""
    sent = [
        await producer.send(
            message.topic,
            key=message.key_json,
            value=message.json,  # None is a tombstone: compaction may forget the key
            headers=[("position", message.position.encode())],
        )
        for message in batch
    ]
    await asyncio.gather(*sent)


async def main() -> None:
    """Publishes until stopped."""
    reader = LogicalReplicationReader(
        "ecommerce_pub",
        SLOT,
        auto_acknowledge=False,
        create_slot=True,
        format="debezium",
        options={"topic.prefix": "shop", "decimal.handling.mode": "string"},
    )
    servers = os.environ.get("KAFKA_SERVERS", "localhost:9092")
    # Idempotent, so that the producer's own repetitions neither double nor overtake anything.
    producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, acks="all")
    async with producer, reader:
        print(f"Publishing to {servers}; Ctrl-C stops.", flush=True)
        async for batch in reader.batches(max_events=500, max_wait=0.1):
            await publish(producer, batch)
            await reader.acknowledge(batch[-1])
            print(f"{len(batch)} events, up to {batch[-1].position}", flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("Stopped.")
    except (KafkaError, ReplicationError) as error:
        raise SystemExit(f"kafka_producer.py: {error}") from None
