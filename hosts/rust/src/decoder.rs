//! The component in wasmtime: loaded, instantiated, called.

use std::path::Path;
use std::thread;
use std::time::Duration;

use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Config, Engine, Store, StoreLimits, StoreLimitsBuilder};

use self::bindings::exports::pgoutput::decoder::decoding::GuestDecoder;
pub use self::bindings::exports::pgoutput::decoder::{catalog, decoding};
use crate::error::Result;

#[expect(missing_docs, reason = "generated: the comments are in wit/")]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "decoder" });
}

/// The compiled component, for any number of decoders and threads. It imports nothing, and so a
/// decoder can do nothing but decode: that is the sandbox.
pub struct Program(bindings::DecoderPre<StoreLimits>);

impl Program {
    /// Compiles `decoder.wasm`, which takes a moment.
    pub fn load(path: &Path) -> Result<Self> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config)?;
        let component = Component::from_file(&engine, path)?;
        let linked = Linker::new(&engine).instantiate_pre(&component)?;
        let ticking = engine.weak();
        thread::spawn(move || {
            while let Some(engine) = ticking.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        });
        Ok(Self(bindings::DecoderPre::new(linked)?))
    }
}

/// One decoder, for one replication stream, in a sandbox of its own. Its methods are those of
/// `wit/decoding.wit`. After [`crate::Error::Sandbox`] it is of no further use.
pub struct Decoder {
    store: Store<StoreLimits>,
    exports: bindings::Decoder,
    resource: ResourceAny,
}

impl Decoder {
    /// Opens a decoder with options by Debezium's property names.
    pub fn open(program: &Program, options: &[(String, String)]) -> Result<Self> {
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY_MAX_BYTES);
        let limits = limits.trap_on_grow_failure(true).build();
        let mut store = Store::new(program.0.engine(), limits);
        store.limiter(|limits| limits);
        // What is copied out of the memory is never more than the memory.
        store.set_hostcall_fuel(MEMORY_MAX_BYTES);
        store.set_epoch_deadline(DEADLINE_TICKS);
        let exports = program.0.instantiate(&mut store)?;
        let guest = exports.pgoutput_decoder_decoding().decoder();
        let resource = guest.call_open(&mut store, options)??;
        Ok(Self {
            store,
            exports,
            resource,
        })
    }

    /// Decodes whole frames. What comes of them are packed records, for [`crate::Topics`].
    pub fn decode(&mut self, frames: &[u8], now_us: i64) -> Result<decoding::Decoded> {
        self.call(|guest, store, this| guest.call_decode(store, this, frames, now_us))
    }

    /// Answers a question.
    pub fn learn(&mut self, facts: &catalog::Facts) -> Result<()> {
        self.call(|guest, store, this| guest.call_learn(store, this, facts))
    }

    /// Gives up the frame that could not be decoded.
    pub fn skip(&mut self) -> Result<()> {
        self.call(|guest, store, this| guest.call_skip(store, this))
    }

    /// What a successor needs to go on here, between transactions.
    pub fn save(&mut self) -> Result<Vec<u8>> {
        self.call(|guest, store, this| guest.call_save(store, this))
    }

    /// The inverse of [`Self::save`], on a new decoder with the same options.
    pub fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let restored = self.call(|guest, store, this| guest.call_restore(store, this, saved))?;
        Ok(restored?)
    }

    /// Options that were given and mean nothing to a decoder.
    pub fn ignored_options(&mut self) -> Result<Vec<String>> {
        self.call(|guest, store, this| guest.call_ignored_options(store, this))
    }

    fn call<R>(
        &mut self,
        function: impl FnOnce(
            GuestDecoder<'_>,
            &mut Store<StoreLimits>,
            ResourceAny,
        ) -> wasmtime::Result<R>,
    ) -> Result<R> {
        self.store.set_epoch_deadline(DEADLINE_TICKS);
        let guest = self.exports.pgoutput_decoder_decoding().decoder();
        Ok(function(guest, &mut self.store, self.resource)?)
    }
}

/// Only reserved until it is used.
const MEMORY_MAX_BYTES: usize = 2 << 30;

/// How exact a deadline is.
const TICK: Duration = Duration::from_millis(100);

/// 10 s a call: a usual one takes less than a millisecond.
const DEADLINE_TICKS: u64 = 100;
