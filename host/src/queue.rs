//! Decoded batches on their way to the consumer: a channel that is bounded in batches and in bytes.
//!
//! A batch larger than the bound goes alone: it waits until nothing else is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::Error;
use crate::records::Batch;

/// The receive task's end.
pub(crate) struct Producer {
    batches: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    queued_bytes: Arc<AtomicUsize>,
}

/// The consumer's end.
#[derive(Debug)]
pub(crate) struct Consumer {
    batches: mpsc::Receiver<Queued>,
}

/// How much is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Gauge(Arc<AtomicUsize>);

/// A batch and the room it takes, or why there is no more.
#[derive(Debug)]
struct Queued {
    batch: Result<Batch, Error>,
    _room: Option<Room>,
}

/// Given back when the consumer takes the batch.
#[derive(Debug)]
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
    bytes: usize,
    queued_bytes: Arc<AtomicUsize>,
}

/// Both ends of a queue, and its gauge.
pub(crate) fn queue() -> (Producer, Consumer, Gauge) {
    let (sender, batches) = mpsc::channel(BATCHES_MAX);
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let producer = Producer {
        batches: sender,
        room: Arc::new(Semaphore::new(to_usize(units(BYTES_MAX)))),
        queued_bytes: Arc::clone(&queued_bytes),
    };
    (producer, Consumer { batches }, Gauge(queued_bytes))
}

impl Producer {
    /// Room for so many bytes, if there is some now.
    pub(crate) fn try_room(&self, bytes: usize) -> Option<Room> {
        if self.batches.capacity() == 0 {
            return None;
        }
        let room = Arc::clone(&self.room).try_acquire_many_owned(units(bytes));
        room.ok().map(|permit| self.count(permit, bytes))
    }

    /// Waits for room; `None` if nobody listens.
    pub(crate) async fn room(&self, bytes: usize) -> Option<Room> {
        let permit = tokio::select! {
            biased;
            () = self.batches.closed() => return None,
            permit = Arc::clone(&self.room).acquire_many_owned(units(bytes)) => permit.ok()?,
        };
        // Nobody else sends: what is free stays so.
        drop(self.batches.reserve().await.ok()?);
        Some(self.count(permit, bytes))
    }

    /// Puts a batch where there is room for it; whether anybody listens.
    pub(crate) fn put(&self, batch: Batch, room: Room) -> bool {
        let queued = Queued {
            batch: Ok(batch),
            _room: Some(room),
        };
        self.batches.try_send(queued).is_ok()
    }

    /// Hands an error over behind the batches, without waiting for the consumer to take them.
    pub(crate) fn end(&self, error: Error) {
        let batches = self.batches.clone();
        tokio::spawn(async move {
            let queued = Queued {
                batch: Err(error),
                _room: None,
            };
            // Nobody is listening: then nobody misses it.
            let _ = batches.send(queued).await;
        });
    }

    fn count(&self, permit: OwnedSemaphorePermit, bytes: usize) -> Room {
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        Room {
            _permit: permit,
            bytes,
            queued_bytes: Arc::clone(&self.queued_bytes),
        }
    }
}

impl Consumer {
    /// Waits for what comes next; `None` when nothing will.
    pub(crate) async fn next(&mut self) -> Option<Result<Batch, Error>> {
        self.batches.recv().await.map(|queued| queued.batch)
    }

    /// What is there already: `Err` says whether more may come.
    pub(crate) fn try_next(&mut self) -> Result<Result<Batch, Error>, mpsc::error::TryRecvError> {
        self.batches.try_recv().map(|queued| queued.batch)
    }

    /// Takes no more.
    pub(crate) fn close(&mut self) {
        self.batches.close();
    }
}

impl Gauge {
    pub(crate) fn queued_bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.queued_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a batch takes of the semaphore, never more than all of it.
fn units(bytes: usize) -> u32 {
    let units = bytes.min(BYTES_MAX).div_ceil(UNIT_BYTES);
    u32::try_from(units).unwrap_or(u32::MAX)
}

fn to_usize(units: u32) -> usize {
    usize::try_from(units).unwrap_or(usize::MAX)
}

/// Batches decoded ahead of the consumer, each of at most 64 KiB of WAL or a single change.
const BATCHES_MAX: usize = 4;

/// Bytes of them all: eight usual batches have a tenth of it. A single change may have more.
pub(crate) const BYTES_MAX: usize = 8 << 20;

/// A semaphore counts to 2^29 at least.
const UNIT_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }

    fn batch() -> Batch {
        crate::records::TopicTable::default()
            .read(Vec::new())
            .unwrap()
    }

    #[test]
    fn bytes_are_bounded_and_a_larger_batch_goes_alone() {
        runtime().block_on(async {
            let (producer, mut consumer, gauge) = queue();
            for bytes in [1, BYTES_MAX / 2] {
                let room = producer.try_room(bytes).unwrap();
                assert!(producer.put(batch(), room));
            }
            assert_eq!(gauge.queued_bytes(), 1 + BYTES_MAX / 2);
            assert!(producer.try_room(BYTES_MAX / 2).is_none());
            consumer.next().await.unwrap().unwrap();
            let room = producer.try_room(BYTES_MAX / 2).unwrap();
            drop(room);

            let large = 10 * BYTES_MAX;
            assert!(producer.try_room(large).is_none());
            let (room, taken) = tokio::join!(producer.room(large), consumer.next());
            taken.unwrap().unwrap();
            assert_eq!(gauge.queued_bytes(), large);
            assert!(producer.put(batch(), room.unwrap()));
            assert!(producer.try_room(1).is_none(), "it is not alone");
            consumer.next().await.unwrap().unwrap();
            assert_eq!(gauge.queued_bytes(), 0);
        });
    }

    #[test]
    fn batches_are_bounded_however_small() {
        runtime().block_on(async {
            let (producer, mut consumer, _) = queue();
            for _ in 0..BATCHES_MAX {
                let room = producer.try_room(0).unwrap();
                assert!(producer.put(batch(), room));
            }
            assert!(producer.try_room(0).is_none());
            let (room, taken) = tokio::join!(producer.room(0), consumer.next());
            assert!(room.is_some() && taken.is_some());
            consumer.close();
            while consumer.next().await.is_some() {}
            assert!(producer.room(BYTES_MAX).await.is_none(), "nobody listens");
        });
    }
}
