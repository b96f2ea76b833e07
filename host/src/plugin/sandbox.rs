//! A plugin in wasmtime: what it may use, and what happens when it uses more.

use std::sync::OnceLock;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, Engine, ResourceLimiter, Store, StoreContextMut, StoreLimits, StoreLimitsBuilder, Trap,
    UpdateDeadline,
};

use crate::sandbox::{self, reason, shared_engine, ticking};
use crate::stream::Clock;

use super::log::{Log, PluginLevel};
use super::wasi::{self, Wasi};
use super::{PluginError, PluginLimits};

pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/plugin",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use bindings::PluginPre;
use bindings::exports::pgoutput::plugin::transform::{Description, Guest};

/// A plugin's compiled component, linked to what it may ask for.
pub(super) struct Program {
    engine: Engine,
    linked: PluginPre<State>,
    limits: PluginLimits,
    log: Log,
}

/// What belongs to an instance and is not its memory.
pub(super) struct State {
    limiter: Limiter,
    time: Time,
    log: Log,
    pub(super) wasi: Wasi,
}

/// One instance. One that trapped or went over a bound is not called again.
pub(super) struct Instance {
    store: Store<State>,
    exports: bindings::Plugin,
    limits: PluginLimits,
}

impl Program {
    /// Compiles a component, or loads its image.
    pub(super) fn compile(
        wasm: &[u8],
        limits: PluginLimits,
        log: Log,
    ) -> Result<Self, PluginError> {
        let not_a_plugin = |reason| PluginError::NotAPlugin { reason };
        let wasm = super::world::component(wasm)?;
        let unusable = |error: wasmtime::Error| not_a_plugin(reason(&error));
        let engine = engine(limits)?;
        let component = sandbox::component(&engine, &wasm).map_err(unusable)?;
        let mut linker = Linker::new(&engine);
        bindings::Plugin::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)
            .map_err(unusable)?;
        wasi::add(&mut linker, &component).map_err(unusable)?;
        let linked = linker
            .instantiate_pre(&component)
            .and_then(PluginPre::new)
            .map_err(unusable)?;
        Ok(Self {
            engine,
            linked,
            limits,
            log,
        })
    }

    /// A new instance, before its `init`.
    pub(super) fn instance(&self) -> Result<Instance, PluginError> {
        let limits = self.limits;
        let state = State {
            limiter: Limiter::new(limits.memory_max_bytes),
            time: Time::new(limits),
            log: self.log.clone(),
            wasi: Wasi::default(),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limiter);
        // What the guest returns is copied.
        store.set_hostcall_fuel(limits.output_max_bytes);
        if limits.fuel.is_none() {
            store.epoch_deadline_callback(on_tick);
        }
        let linked = &self.linked;
        let exports = within_limits(&mut store, limits, |store| {
            linked.instantiate(store).map_err(|error| {
                if error.is::<Trap>() || error.is::<PluginError>() {
                    return error;
                }
                // It did not even run: a function of it is of another type.
                let reason = reason(&error);
                PluginError::NotAPlugin { reason }.into()
            })
        })?;
        Ok(Instance {
            store,
            exports,
            limits,
        })
    }
}

impl Instance {
    /// Calls one of the plugin's functions. After an error it is not called again.
    pub(super) fn call<R>(
        &mut self,
        function: impl FnOnce(&Guest, &mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<R, PluginError> {
        let guest = self.exports.pgoutput_plugin_transform();
        within_limits(&mut self.store, self.limits, |store| function(guest, store))
    }

    pub(super) fn describe(&mut self) -> Result<Description, PluginError> {
        self.call(|guest, store| guest.call_describe(store))
    }

    pub(super) fn init(&mut self, config: &str) -> Result<(), PluginError> {
        self.call(|guest, store| guest.call_init(store, config))?
            .map_err(|reason| PluginError::Config { reason })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().limiter.memory_bytes
    }

    /// What a clock in the guest shows, µs since 1970-01-01.
    pub(super) fn set_time(&mut self, us: i64) {
        self.store.data_mut().wasi.set_time(us);
    }
}

/// The decoder's, and one that counts instructions: their code differs.
fn engine(limits: PluginLimits) -> Result<Engine, PluginError> {
    static COUNTING: OnceLock<Option<Engine>> = OnceLock::new();
    let unusable = |reason: String| PluginError::NotAPlugin { reason };
    if limits.fuel.is_none() {
        return shared_engine().map_err(|error| unusable(error.to_string()));
    }
    let counting = COUNTING.get_or_init(|| {
        let mut config = Config::new();
        config.consume_fuel(true);
        Engine::new(&config).ok()
    });
    counting
        .clone()
        .ok_or_else(|| unusable("instructions cannot be counted on this machine".to_owned()))
}

fn within_limits<R>(
    store: &mut Store<State>,
    limits: PluginLimits,
    call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> Result<R, PluginError> {
    let result = if let Some(fuel) = limits.fuel {
        store.set_fuel(fuel).and_then(|()| call(store))
    } else {
        store.data_mut().time.begin();
        store.set_epoch_deadline(1);
        let _ticking = ticking();
        call(store)
    };
    result.map_err(|error| why(&error, store.data(), limits))
}

/// Which limit it was, or the trap.
fn why(error: &wasmtime::Error, state: &State, limits: PluginLimits) -> PluginError {
    if let Some(over) = error.downcast_ref::<PluginError>() {
        return over.clone();
    }
    if state.limiter.exceeded {
        return PluginError::Memory {
            limit_bytes: limits.memory_max_bytes,
        };
    }
    if error.downcast_ref() == Some(&Trap::OutOfFuel) {
        return PluginError::Fuel {
            limit: limits.fuel.unwrap_or_default(),
        };
    }
    let reason = reason(error);
    // wasmtime has no type for it.
    if reason.contains("fuel allocated for hostcalls") {
        return PluginError::Output {
            limit_bytes: limits.output_max_bytes,
        };
    }
    PluginError::Trap { reason }
}

/// How long the call under way has taken. Looked at with each tick, so that a call that is over
/// before the first one costs nothing; what came before that does not count.
struct Time {
    limits: PluginLimits,
    first: Option<Moment>,
    clock: Clock,
}

#[derive(Clone, Copy)]
struct Moment {
    /// CPU time of this thread.
    cpu: Duration,
    wall: Duration,
}

impl Time {
    fn new(limits: PluginLimits) -> Self {
        Self {
            limits,
            first: None,
            clock: Clock::start(),
        }
    }

    fn begin(&mut self) {
        self.first = None;
    }

    fn tick(&mut self) -> Result<(), PluginError> {
        let wall = self.clock.now();
        let now = Moment {
            cpu: thread_cpu_time().unwrap_or(wall),
            wall,
        };
        let first = *self.first.get_or_insert(now);
        let PluginLimits {
            cpu_max, wall_max, ..
        } = self.limits;
        if now.cpu.saturating_sub(first.cpu) >= cpu_max {
            return Err(PluginError::Cpu { limit: cpu_max });
        }
        if now.wall.saturating_sub(first.wall) >= wall_max {
            return Err(PluginError::Wall { limit: wall_max });
        }
        Ok(())
    }
}

/// What this thread has had of the processor: a thread that is not running is not charged.
fn thread_cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).ok()
    }
    #[cfg(not(unix))]
    None
}

fn on_tick(mut context: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    context.data_mut().time.tick()?;
    Ok(UpdateDeadline::Continue(1))
}

/// Memory of all the instance's modules together, and everything else that takes some.
struct Limiter {
    others: StoreLimits,
    memory_max_bytes: usize,
    memory_bytes: usize,
    exceeded: bool,
}

impl Limiter {
    fn new(memory_max_bytes: usize) -> Self {
        let others = StoreLimitsBuilder::new()
            .table_elements(TABLE_ELEMENTS_MAX)
            .build();
        Self {
            others,
            memory_max_bytes,
            memory_bytes: 0,
            exceeded: false,
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = self
            .memory_bytes
            .saturating_add(desired.saturating_sub(current));
        if grown > self.memory_max_bytes {
            self.exceeded = true;
            let limit_bytes = self.memory_max_bytes;
            return Err(PluginError::Memory { limit_bytes }.into());
        }
        self.memory_bytes = grown;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.others.table_growing(current, desired, maximum)
    }
}

impl State {
    pub(super) fn log_line(&self, level: PluginLevel, text: &str) {
        self.log.line(level, text);
    }
}

impl bindings::pgoutput::plugin::log::Host for State {
    fn log(&mut self, level: bindings::pgoutput::plugin::log::Level, message: String) {
        self.log_line(level.into(), &message);
    }
}

/// Interpreters of languages have tens of thousands of functions.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;
