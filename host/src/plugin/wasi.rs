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

struct Input;
struct Stream;
struct Descriptor;
struct Failure;
struct Pollable;
struct Terminal;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<Failure>),
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

/// Adds what the component may look for.
pub(super) fn add(linker: &mut Linker<State>, component: &Component) -> Result<()> {
    add_io(linker)?;
    add_program(linker)?;
    add_clocks(linker)?;
    add_random(linker)?;
    add_files(linker)?;
    linker.define_unknown_imports_as_traps(component)
}

fn add_io(linker: &mut Linker<State>) -> Result<()> {
    let mut on = linker.instance("wasi:io/error@0.2.0")?;
    resource::<Failure>(&mut on, "error")?;
    answer(
        &mut on,
        "[method]error.to-debug-string",
        |_, (_error,): (Resource<Failure>,)| Ok((String::new(),)),
    )?;

    let mut on = linker.instance("wasi:io/poll@0.2.0")?;
    resource::<Pollable>(&mut on, "pollable")?;
    answer(
        &mut on,
        "[method]pollable.ready",
        |_, (_pollable,): (Resource<Pollable>,)| Ok((true,)),
    )?;
    answer(
        &mut on,
        "[method]pollable.block",
        |_, (_pollable,): (Resource<Pollable>,)| Ok(()),
    )?;
    answer(
        &mut on,
        "poll",
        |_, (pollables,): (Vec<Resource<Pollable>>,)| {
            let count = u32::try_from(pollables.len())?;
            Ok(((0..count).collect::<Vec<u32>>(),))
        },
    )?;

    let mut on = linker.instance("wasi:io/streams@0.2.0")?;
    resource::<Input>(&mut on, "input-stream")?;
    resource::<Stream>(&mut on, "output-stream")?;
    for name in ["read", "blocking-read"] {
        let name = format!("[method]input-stream.{name}");
        answer(
            &mut on,
            &name,
            |_, (_stream, _length): (Resource<Input>, u64)| {
                Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
            },
        )?;
    }
    answer(
        &mut on,
        "[method]input-stream.subscribe",
        |_, (_stream,): (Resource<Input>,)| Ok((Resource::<Pollable>::new_own(0),)),
    )?;
    answer(
        &mut on,
        "[method]output-stream.subscribe",
        |_, (_stream,): (Resource<Stream>,)| Ok((Resource::<Pollable>::new_own(0),)),
    )?;
    answer(
        &mut on,
        "[method]output-stream.check-write",
        |_, (_stream,): (Resource<Stream>,)| Ok((Ok::<_, StreamError>(WRITE_MAX_BYTES),)),
    )?;
    for name in ["write", "blocking-write-and-flush"] {
        let name = format!("[method]output-stream.{name}");
        answer(
            &mut on,
            &name,
            |state, (stream, bytes): (Resource<Stream>, Vec<u8>)| {
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
        answer(&mut on, &name, |_, (_stream,): (Resource<Stream>,)| {
            Ok((Ok::<(), StreamError>(()),))
        })?;
    }
    Ok(())
}

fn add_program(linker: &mut Linker<State>) -> Result<()> {
    let mut on = linker.instance("wasi:cli/environment@0.2.0")?;
    answer(&mut on, "get-environment", |_, ()| {
        Ok((Vec::<(String, String)>::new(),))
    })?;
    answer(&mut on, "get-arguments", |_, ()| {
        Ok((Vec::<String>::new(),))
    })?;
    answer(&mut on, "initial-cwd", |_, ()| Ok((None::<String>,)))?;
    let mut on = linker.instance("wasi:cli/exit@0.2.0")?;
    answer(
        &mut on,
        "exit",
        |_, (_status,): (Result<(), ()>,)| -> Result<()> {
            Err(format_err!("the plugin left its program"))
        },
    )?;
    linker
        .instance("wasi:cli/stdin@0.2.0")?
        .func_wrap("get-stdin", |_, ()| Ok((Resource::<Input>::new_own(0),)))?;
    for (name, function, stream) in [
        ("wasi:cli/stdout@0.2.0", "get-stdout", STDOUT),
        ("wasi:cli/stderr@0.2.0", "get-stderr", STDERR),
    ] {
        linker.instance(name)?.func_wrap(function, move |_, ()| {
            Ok((Resource::<Stream>::new_own(stream),))
        })?;
    }
    for (part, kind) in [
        ("stdin", "input"),
        ("stdout", "output"),
        ("stderr", "output"),
    ] {
        let kind = format!("terminal-{kind}");
        if part != "stderr" {
            let mut on = linker.instance(&format!("wasi:cli/{kind}@0.2.0"))?;
            on.resource(&kind, ResourceType::host::<Terminal>(), |_, _| Ok(()))?;
        }
        let mut on = linker.instance(&format!("wasi:cli/terminal-{part}@0.2.0"))?;
        answer(&mut on, &format!("get-terminal-{part}"), |_, ()| {
            Ok((None::<Resource<Terminal>>,))
        })?;
    }
    Ok(())
}

fn add_clocks(linker: &mut Linker<State>) -> Result<()> {
    let mut on = linker.instance("wasi:clocks/monotonic-clock@0.2.0")?;
    answer(&mut on, "now", |state, ()| Ok((state.wasi.monotonic(),)))?;
    answer(&mut on, "resolution", |_, ()| Ok((1_000_u64,)))?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        answer(&mut on, name, |_, (_when,): (u64,)| {
            Ok((Resource::<Pollable>::new_own(0),))
        })?;
    }
    let mut on = linker.instance("wasi:clocks/wall-clock@0.2.0")?;
    answer(&mut on, "now", |state, ()| Ok((state.wasi.datetime(),)))?;
    let resolution = Datetime {
        seconds: 0,
        nanoseconds: 1_000,
    };
    answer(&mut on, "resolution", move |_, ()| Ok((resolution,)))?;
    Ok(())
}

fn add_random(linker: &mut Linker<State>) -> Result<()> {
    for (name, bytes, number) in [
        ("random", "get-random-bytes", "get-random-u64"),
        (
            "insecure",
            "get-insecure-random-bytes",
            "get-insecure-random-u64",
        ),
    ] {
        let mut on = linker.instance(&format!("wasi:random/{name}@0.2.0"))?;
        answer(&mut on, bytes, |state, (length,): (u64,)| {
            Ok((state.wasi.random_bytes(length)?,))
        })?;
        answer(&mut on, number, |state, ()| Ok((state.wasi.random(),)))?;
    }
    let mut on = linker.instance("wasi:random/insecure-seed@0.2.0")?;
    answer(&mut on, "insecure-seed", |state, ()| {
        Ok(((state.wasi.random(), state.wasi.random()),))
    })?;
    Ok(())
}

fn add_files(linker: &mut Linker<State>) -> Result<()> {
    let mut on = linker.instance("wasi:filesystem/types@0.2.0")?;
    resource::<Descriptor>(&mut on, "descriptor")?;
    let mut on = linker.instance("wasi:filesystem/preopens@0.2.0")?;
    answer(&mut on, "get-directories", |_, ()| {
        Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
    })?;
    Ok(())
}

fn resource<R: 'static>(on: &mut LinkerInstance<'_, State>, name: &str) -> Result<()> {
    on.resource(name, ResourceType::host::<R>(), |_, _| Ok(()))
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
