//! WASI with nothing behind it, for languages whose toolchains want it whatever a plugin does.
//!
//! No arguments, no environment, no files, no network; what is printed goes to the plugin's log.
//! The clock shows the commit time of the events at hand, and random numbers are the same in each
//! instance: a plugin gives the same events again. Waiting takes no time, so that a plugin cannot
//! hold the stream up by sleeping, which no limit on its instructions would end. Whatever else WASI
//! has is there to be linked, and a trap when it is called.

use wasmtime::component::{
    Component, ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource,
    ResourceType,
};
use wasmtime::{Result, StoreContextMut, format_err};

use super::log::PluginLevel;
use super::sandbox::State;

/// What an instance's WASI remembers.
#[derive(Debug, Default)]
pub(crate) struct Wasi {
    time_us: i64,
    /// Of a clock that only goes on.
    ticks: u64,
    random: u64,
    /// Printed, and no whole line yet: on standard output and standard error.
    printed: [Vec<u8>; 2],
}

/// Every resource there is: one type, as `define_unknown_imports_as_traps` has it, which cannot
/// tell the resources of an interface from those it has of another.
type Handle = Resource<()>;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Handle),
    #[component(name = "closed")]
    Closed,
}

#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Wasi {
    pub(super) fn set_time(&mut self, us: i64) {
        self.time_us = us;
    }

    fn datetime(&self) -> Datetime {
        let us = u64::try_from(self.time_us).unwrap_or(0);
        Datetime {
            seconds: us / 1_000_000,
            nanoseconds: u32::try_from(us % 1_000_000 * 1_000).unwrap_or(0),
        }
    }

    fn monotonic(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks * 1_000
    }

    /// `SplitMix64`: as random as it need be where nothing is secret.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= RANDOM_MAX_BYTES);
        let length = length.ok_or_else(|| format_err!("too many random bytes at a time"))?;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend(self.random().to_le_bytes());
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Takes what is printed; gives whole lines.
    fn print(&mut self, stream: u32, bytes: &[u8]) -> Vec<String> {
        let Some(printed) = self.printed.get_mut(usize::from(stream == STDERR)) else {
            return Vec::new();
        };
        printed.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = printed.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = printed.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            lines.push(String::from_utf8_lossy(line).into_owned());
        }
        if printed.len() > PRINTED_MAX_BYTES {
            lines.push(String::from_utf8_lossy(&std::mem::take(printed)).into_owned());
        }
        lines
    }
}

/// The interfaces a component imports, under the names that have its version of WASI in them.
struct Names(Vec<String>);

impl Names {
    fn of_imports(component: &Component) -> Self {
        let world = component.component_type();
        let names = world.imports(component.engine());
        Self(names.map(|(name, _)| name.to_owned()).collect())
    }

    /// The name by which it imports the interface; that without a version where it does not.
    fn of<'a>(&'a self, interface: &'a str) -> &'a str {
        let versions = |name: &&String| {
            let version = name.strip_prefix(interface);
            version.is_some_and(|version| version.starts_with("@0.2."))
        };
        self.0
            .iter()
            .find(versions)
            .map_or(interface, String::as_str)
    }
}

/// Adds what the component may look for.
pub(super) fn add(linker: &mut Linker<State>, component: &Component) -> Result<()> {
    let names = Names::of_imports(component);
    add_io(linker, &names)?;
    add_program(linker, &names)?;
    add_clocks(linker, &names)?;
    add_random(linker, &names)?;
    add_files(linker, &names)?;
    linker.define_unknown_imports_as_traps(component)
}

fn add_io(linker: &mut Linker<State>, names: &Names) -> Result<()> {
    let mut on = linker.instance(names.of("wasi:io/error"))?;
    resource(&mut on, "error")?;
    answer(
        &mut on,
        "[method]error.to-debug-string",
        |_, (_error,): (Handle,)| Ok((String::new(),)),
    )?;

    let mut on = linker.instance(names.of("wasi:io/poll"))?;
    resource(&mut on, "pollable")?;
    answer(
        &mut on,
        "[method]pollable.ready",
        |_, (_pollable,): (Handle,)| Ok((true,)),
    )?;
    answer(
        &mut on,
        "[method]pollable.block",
        |_, (_pollable,): (Handle,)| Ok(()),
    )?;
    answer(&mut on, "poll", |_, (pollables,): (Vec<Handle>,)| {
        let count = u32::try_from(pollables.len())?;
        Ok(((0..count).collect::<Vec<u32>>(),))
    })?;

    let mut on = linker.instance(names.of("wasi:io/streams"))?;
    resource(&mut on, "input-stream")?;
    resource(&mut on, "output-stream")?;
    for name in ["read", "blocking-read"] {
        let name = format!("[method]input-stream.{name}");
        answer(&mut on, &name, |_, (_stream, _length): (Handle, u64)| {
            Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
        })?;
    }
    answer(
        &mut on,
        "[method]input-stream.subscribe",
        |_, (_stream,): (Handle,)| Ok((Handle::new_own(0),)),
    )?;
    answer(
        &mut on,
        "[method]output-stream.subscribe",
        |_, (_stream,): (Handle,)| Ok((Handle::new_own(0),)),
    )?;
    answer(
        &mut on,
        "[method]output-stream.check-write",
        |_, (_stream,): (Handle,)| Ok((Ok::<_, StreamError>(WRITE_MAX_BYTES),)),
    )?;
    for name in ["write", "blocking-write-and-flush"] {
        let name = format!("[method]output-stream.{name}");
        answer(
            &mut on,
            &name,
            |state, (stream, bytes): (Handle, Vec<u8>)| {
                let level = if stream.rep() == STDERR {
                    PluginLevel::Warning
                } else {
                    PluginLevel::Info
                };
                for line in state.wasi.print(stream.rep(), &bytes) {
                    state.log_line(level, &line);
                }
                Ok((Ok::<(), StreamError>(()),))
            },
        )?;
    }
    for name in ["flush", "blocking-flush"] {
        let name = format!("[method]output-stream.{name}");
        answer(&mut on, &name, |_, (_stream,): (Handle,)| {
            Ok((Ok::<(), StreamError>(()),))
        })?;
    }
    Ok(())
}

fn add_program(linker: &mut Linker<State>, names: &Names) -> Result<()> {
    let mut on = linker.instance(names.of("wasi:cli/environment"))?;
    answer(&mut on, "get-environment", |_, ()| {
        Ok((Vec::<(String, String)>::new(),))
    })?;
    answer(&mut on, "get-arguments", |_, ()| {
        Ok((Vec::<String>::new(),))
    })?;
    answer(&mut on, "initial-cwd", |_, ()| Ok((None::<String>,)))?;
    let mut on = linker.instance(names.of("wasi:cli/exit"))?;
    answer(
        &mut on,
        "exit",
        |_, (_status,): (Result<(), ()>,)| -> Result<()> {
            Err(format_err!("the plugin left its program"))
        },
    )?;
    linker
        .instance(names.of("wasi:cli/stdin"))?
        .func_wrap("get-stdin", |_, ()| Ok((Handle::new_own(0),)))?;
    for (name, function, stream) in [
        ("wasi:cli/stdout", "get-stdout", STDOUT),
        ("wasi:cli/stderr", "get-stderr", STDERR),
    ] {
        linker
            .instance(names.of(name))?
            .func_wrap(function, move |_, ()| Ok((Handle::new_own(stream),)))?;
    }
    for (part, kind) in [
        ("stdin", "input"),
        ("stdout", "output"),
        ("stderr", "output"),
    ] {
        let kind = format!("terminal-{kind}");
        if part != "stderr" {
            let mut on = linker.instance(names.of(&format!("wasi:cli/{kind}")))?;
            resource(&mut on, &kind)?;
        }
        let mut on = linker.instance(names.of(&format!("wasi:cli/terminal-{part}")))?;
        answer(&mut on, &format!("get-terminal-{part}"), |_, ()| {
            Ok((None::<Handle>,))
        })?;
    }
    Ok(())
}

fn add_clocks(linker: &mut Linker<State>, names: &Names) -> Result<()> {
    let mut on = linker.instance(names.of("wasi:clocks/monotonic-clock"))?;
    answer(&mut on, "now", |state, ()| Ok((state.wasi.monotonic(),)))?;
    answer(&mut on, "resolution", |_, ()| Ok((1_000_u64,)))?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        answer(&mut on, name, |_, (_when,): (u64,)| {
            Ok((Handle::new_own(0),))
        })?;
    }
    let mut on = linker.instance(names.of("wasi:clocks/wall-clock"))?;
    answer(&mut on, "now", |state, ()| Ok((state.wasi.datetime(),)))?;
    let resolution = Datetime {
        seconds: 0,
        nanoseconds: 1_000,
    };
    answer(&mut on, "resolution", move |_, ()| Ok((resolution,)))?;
    Ok(())
}

fn add_random(linker: &mut Linker<State>, names: &Names) -> Result<()> {
    for (name, bytes, number) in [
        ("random", "get-random-bytes", "get-random-u64"),
        (
            "insecure",
            "get-insecure-random-bytes",
            "get-insecure-random-u64",
        ),
    ] {
        let mut on = linker.instance(names.of(&format!("wasi:random/{name}")))?;
        answer(&mut on, bytes, |state, (length,): (u64,)| {
            Ok((state.wasi.random_bytes(length)?,))
        })?;
        answer(&mut on, number, |state, ()| Ok((state.wasi.random(),)))?;
    }
    let mut on = linker.instance(names.of("wasi:random/insecure-seed"))?;
    answer(&mut on, "insecure-seed", |state, ()| {
        Ok(((state.wasi.random(), state.wasi.random()),))
    })?;
    Ok(())
}

fn add_files(linker: &mut Linker<State>, names: &Names) -> Result<()> {
    let mut on = linker.instance(names.of("wasi:filesystem/types"))?;
    resource(&mut on, "descriptor")?;
    let mut on = linker.instance(names.of("wasi:filesystem/preopens"))?;
    answer(&mut on, "get-directories", |_, ()| {
        Ok((Vec::<(Handle, String)>::new(),))
    })?;
    Ok(())
}

fn resource(on: &mut LinkerInstance<'_, State>, name: &str) -> Result<()> {
    on.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))
}

/// A function that looks at the instance's state alone.
fn answer<Parameters, Answer>(
    on: &mut LinkerInstance<'_, State>,
    name: &str,
    function: impl Fn(&mut State, Parameters) -> Result<Answer> + Send + Sync + 'static,
) -> Result<()>
where
    Parameters: ComponentNamedList + Lift + 'static,
    Answer: ComponentNamedList + Lower + 'static,
{
    on.func_wrap(
        name,
        move |mut context: StoreContextMut<'_, State>, parameters| {
            function(context.data_mut(), parameters)
        },
    )
}

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// What one write may be, as in other hosts.
const WRITE_MAX_BYTES: u64 = 4096;
/// A line that does not end.
const PRINTED_MAX_BYTES: usize = 4096;
const RANDOM_MAX_BYTES: usize = 1 << 20;
