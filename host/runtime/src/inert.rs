//! WASI 0.2 for toolchains that insist on it: everything answers, nothing varies, nothing is reached.
//!
//! Written here instead of taken from the engine's own WASI crate, whose clocks really wait: a guest that sleeps for an
//! hour would hold a worker for an hour without burning fuel. Here a sleep returns at once and moves the guest's clock.
//! Every call costs fuel. What is imported and not offered below traps when called, and only then.
//!
//! All resources share one host type; what a handle stands for is its number: 1 is standard output, 2 standard error,
//! 0 anything else. A guest that mixes them up harms only itself.

use wasmtime::component::{Component, ComponentType, Lift, Linker, Lower, Resource};
use wasmtime::{StoreContextMut, bail};

use crate::logs::Level;
use crate::state::{State, charge};

/// Interfaces of `wasi:` that a pure component may import.
const OFFERED: [&str; 5] = ["io", "cli", "clocks", "random", "filesystem"];

/// Random bytes handed out in one call, at most.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

type Handle = Resource<()>;
type Cx<'a> = StoreContextMut<'a, State>;

/// Whether an import such as `wasi:cli/environment@0.2.6` is among those that are answered here.
pub(crate) fn offers(import: &str) -> bool {
    let Some((package, rest)) = import.strip_prefix("wasi:").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let Some((_, version)) = rest.split_once('@') else { return false };
    OFFERED.contains(&package) && (version == "0.2" || version.starts_with("0.2."))
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Handle),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Offers what the component imports of WASI, under the versions it asks for.
///
/// # Errors
/// When the component imports something that is no function, type or resource.
pub(crate) fn link(
    linker: &mut Linker<State>,
    component: &Component,
    imports: &[String],
) -> wasmtime::Result<()> {
    for import in imports.iter().filter(|import| offers(import)) {
        let interface = import.split_once('@').map_or(import.as_str(), |(interface, _)| interface);
        match interface {
            "wasi:io/poll" => poll(linker, import)?,
            "wasi:io/streams" => {
                input(linker, import)?;
                output(linker, import)?;
            }
            "wasi:cli/exit" => exit(linker, import)?,
            "wasi:clocks/monotonic-clock" => monotonic(linker, import)?,
            "wasi:clocks/wall-clock" => wall(linker, import)?,
            "wasi:filesystem/preopens" => {
                linker.instance(import)?.func_wrap("get-directories", |mut cx: Cx<'_>, ()| {
                    charge(&mut cx, 0)?;
                    Ok((Vec::<(Handle, String)>::new(),))
                })?;
            }
            _ if interface.starts_with("wasi:random/") => random(linker, import)?,
            _ if interface.starts_with("wasi:cli/") => surroundings(linker, import)?,
            _ => {}
        }
    }
    linker.define_unknown_imports_as_traps(component)
}

fn surroundings(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    let mut cli = linker.instance(import)?;
    cli.func_wrap("get-environment", |mut cx: Cx<'_>, ()| {
        charge(&mut cx, 0)?;
        Ok((Vec::<(String, String)>::new(),))
    })?;
    cli.func_wrap("get-arguments", |mut cx: Cx<'_>, ()| {
        charge(&mut cx, 0)?;
        Ok((Vec::<String>::new(),))
    })?;
    cli.func_wrap("initial-cwd", |mut cx: Cx<'_>, ()| {
        charge(&mut cx, 0)?;
        Ok((None::<String>,))
    })?;
    for (name, number) in [("get-stdin", 0), ("get-stdout", 1), ("get-stderr", 2)] {
        cli.func_wrap(name, move |mut cx: Cx<'_>, ()| {
            charge(&mut cx, 0)?;
            Ok((Handle::new_own(number),))
        })?;
    }
    for name in ["get-terminal-stdin", "get-terminal-stdout", "get-terminal-stderr"] {
        cli.func_wrap(name, |mut cx: Cx<'_>, ()| {
            charge(&mut cx, 0)?;
            Ok((None::<Handle>,))
        })?;
    }
    Ok(())
}

fn exit(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    let mut exit = linker.instance(import)?;
    exit.func_wrap("exit", |_: Cx<'_>, (_,): (Result<(), ()>,)| -> wasmtime::Result<()> {
        bail!("the guest called exit")
    })?;
    exit.func_wrap("exit-with-code", |_: Cx<'_>, (_,): (u8,)| -> wasmtime::Result<()> {
        bail!("the guest called exit")
    })
}

/// Everything one could wait for has happened.
fn poll(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    let mut poll = linker.instance(import)?;
    poll.func_wrap("[method]pollable.ready", |mut cx: Cx<'_>, (_,): (Handle,)| {
        charge(&mut cx, 0)?;
        Ok((true,))
    })?;
    poll.func_wrap("[method]pollable.block", |mut cx: Cx<'_>, (_,): (Handle,)| charge(&mut cx, 0))?;
    poll.func_wrap("poll", |mut cx: Cx<'_>, (all,): (Vec<Handle>,)| {
        charge(&mut cx, all.len() * 4)?;
        Ok(((0..u32::try_from(all.len()).unwrap_or(u32::MAX)).collect::<Vec<u32>>(),))
    })
}

/// There is nothing to read.
fn input(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    let mut streams = linker.instance(import)?;
    for name in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        streams.func_wrap(name, |mut cx: Cx<'_>, (_, _): (Handle, u64)| {
            charge(&mut cx, 0)?;
            Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
        })?;
    }
    for name in ["[method]input-stream.skip", "[method]input-stream.blocking-skip"] {
        streams.func_wrap(name, |mut cx: Cx<'_>, (_, _): (Handle, u64)| {
            charge(&mut cx, 0)?;
            Ok((Err::<u64, _>(StreamError::Closed),))
        })?;
    }
    for name in ["[method]input-stream.subscribe", "[method]output-stream.subscribe"] {
        streams.func_wrap(name, |mut cx: Cx<'_>, (_,): (Handle,)| {
            charge(&mut cx, 0)?;
            Ok((Handle::new_own(0),))
        })?;
    }
    Ok(())
}

/// What is written goes to the log, and always succeeds.
fn output(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    let mut streams = linker.instance(import)?;
    streams.func_wrap("[method]output-stream.check-write", |mut cx: Cx<'_>, (_,): (Handle,)| {
        charge(&mut cx, 0)?;
        Ok((Ok::<u64, StreamError>(4096),))
    })?;
    for name in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        streams.func_wrap(name, |mut cx: Cx<'_>, (to, bytes): (Handle, Vec<u8>)| {
            charge(&mut cx, bytes.len())?;
            let level = if to.rep() == 2 { Level::Warn } else { Level::Info };
            cx.data_mut().log.stream(level, &bytes);
            Ok((Ok::<(), StreamError>(()),))
        })?;
    }
    for name in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        streams.func_wrap(name, |mut cx: Cx<'_>, (_,): (Handle,)| {
            charge(&mut cx, 0)?;
            Ok((Ok::<(), StreamError>(()),))
        })?;
    }
    Ok(())
}

fn monotonic(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    let mut clock = linker.instance(import)?;
    clock.func_wrap("now", |mut cx: Cx<'_>, ()| {
        charge(&mut cx, 0)?;
        let inert = &mut cx.data_mut().inert;
        inert.monotonic_ns = inert.monotonic_ns.saturating_add(1_000);
        Ok((inert.monotonic_ns,))
    })?;
    clock.func_wrap("resolution", |mut cx: Cx<'_>, ()| {
        charge(&mut cx, 0)?;
        Ok((1_000_u64,))
    })?;
    clock.func_wrap("subscribe-duration", |mut cx: Cx<'_>, (ns,): (u64,)| {
        charge(&mut cx, 0)?;
        let inert = &mut cx.data_mut().inert;
        inert.monotonic_ns = inert.monotonic_ns.saturating_add(ns);
        Ok((Handle::new_own(0),))
    })?;
    clock.func_wrap("subscribe-instant", |mut cx: Cx<'_>, (at,): (u64,)| {
        charge(&mut cx, 0)?;
        let inert = &mut cx.data_mut().inert;
        inert.monotonic_ns = inert.monotonic_ns.max(at);
        Ok((Handle::new_own(0),))
    })
}

fn wall(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    let mut clock = linker.instance(import)?;
    clock.func_wrap("now", |mut cx: Cx<'_>, ()| {
        charge(&mut cx, 0)?;
        Ok((Datetime { seconds: 0, nanoseconds: 0 },))
    })?;
    clock.func_wrap("resolution", |mut cx: Cx<'_>, ()| {
        charge(&mut cx, 0)?;
        Ok((Datetime { seconds: 0, nanoseconds: 1_000_000 },))
    })
}

fn random(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    let mut random = linker.instance(import)?;
    for name in ["get-random-bytes", "get-insecure-random-bytes"] {
        random.func_wrap(name, |mut cx: Cx<'_>, (count,): (u64,)| {
            if count > RANDOM_BYTES_MAX {
                bail!("the guest asked for {count} random bytes at once, {RANDOM_BYTES_MAX} are allowed");
            }
            let mut bytes = vec![0; usize::try_from(count)?];
            charge(&mut cx, bytes.len())?;
            draw(cx.data_mut(), &mut bytes);
            Ok((bytes,))
        })?;
    }
    for name in ["get-random-u64", "get-insecure-random-u64"] {
        random.func_wrap(name, |mut cx: Cx<'_>, ()| {
            charge(&mut cx, 8)?;
            Ok((draw_u64(cx.data_mut()),))
        })?;
    }
    random.func_wrap("insecure-seed", |mut cx: Cx<'_>, ()| {
        charge(&mut cx, 16)?;
        Ok(((draw_u64(cx.data_mut()), draw_u64(cx.data_mut())),))
    })
}

fn draw_u64(state: &mut State) -> u64 {
    let mut bytes = [0; 8];
    draw(state, &mut bytes);
    u64::from_le_bytes(bytes)
}

/// The next bytes of the sequence that the seed names.
fn draw(state: &mut State, bytes: &mut [u8]) {
    let inert = &mut state.inert;
    let mut reader = blake3::Hasher::new_keyed(&inert.seed).finalize_xof();
    reader.set_position(inert.drawn);
    reader.fill(bytes);
    inert.drawn += bytes.len() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inert_parts_of_wasi_are_offered() {
        for (import, offered) in [
            ("wasi:cli/environment@0.2.6", true),
            ("wasi:io/streams@0.2.0", true),
            ("wasi:filesystem/types@0.2.12", true),
            ("wasi:sockets/tcp@0.2.6", false),
            ("wasi:http/outgoing-handler@0.2.6", false),
            ("wasi:cli/environment@0.3.0", false),
            ("wasi:cli/environment@0.20.0", false),
            ("wasi:cli/environment", false),
            ("cdp:plugin/log@1.0.0", false),
        ] {
            assert_eq!(offers(import), offered, "{import}");
        }
    }
}
