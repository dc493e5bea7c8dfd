//! WASI 0.2 for guests that bring an interpreter: every interface that these import is there, and nothing is behind it.
//!
//! There are no files, arguments, variables, sockets or names of hosts; what asks for one gets the error that its own type
//! provides for that, or an empty answer. What is printed goes to the log. Clocks and random numbers are the same in
//! every run with the same seed. Written here instead of taken from a library, because what is not linked cannot be
//! switched on by mistake, and because sleeping must end with the run and its deadline.

mod guest;

pub(crate) use guest::Guest;

use super::State;
use guest::Stream;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Type, Val};
use wasmtime::{Engine, Result, StoreContextMut};

/// The packages that are offered, in every 0.2 version.
const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// What a refusal is called, in the interfaces that have a name for it.
const REFUSALS: [&str; 5] = ["access-denied", "access", "closed", "not-supported", "unsupported"];
/// Most random bytes or zeroes of one call.
const MAX_BYTES: u64 = 1 << 20;

/// A resource that nobody has: files, sockets, terminals.
struct Nothing;
/// An input that has ended.
struct Input;
/// Standard output or error.
struct Output;
/// Something to wait for.
struct Alarm;

/// Is an import with this name offered?
pub(crate) fn offers(import: &str) -> bool {
    PACKAGES.iter().any(|p| import.starts_with(p))
        && import.split_once('@').is_some_and(|(_, version)| version.starts_with("0.2."))
}

/// Gives the component what it imports of WASI, under the very names and versions that it uses. Others are not touched.
pub(crate) fn link(linker: &Linker<State>, engine: &Engine, component: &Component) -> Result<Option<Linker<State>>> {
    let ty = component.component_type();
    let wanted: Vec<_> = ty.imports(engine).filter(|(name, _)| offers(name)).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut linker = linker.clone();
    for (name, import) in wanted {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        let mut instance = linker.instance(name)?;
        let plain = name.split('@').next().unwrap_or(name);
        for (item, export) in interface.exports(engine) {
            match export.ty {
                ComponentItem::Resource(_) => resource(&mut instance, item)?,
                ComponentItem::ComponentFunc(ty) => function(&mut instance, plain, item, &ty)?,
                _ => {}
            }
        }
    }
    Ok(Some(linker))
}

fn resource(instance: &mut LinkerInstance<'_, State>, name: &str) -> Result<()> {
    match name {
        "input-stream" => instance.resource(name, ResourceType::host::<Input>(), |_, _| Ok(())),
        "output-stream" => instance.resource(name, ResourceType::host::<Output>(), |_, _| Ok(())),
        "pollable" => instance.resource(name, ResourceType::host::<Alarm>(), |mut store, alarm| {
            store.data_mut().wasi().forget(alarm);
            Ok(())
        }),
        _ => instance.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(())),
    }
}

type Store<'a> = StoreContextMut<'a, State>;

/// The few functions that do something; the rest is refused.
fn function(instance: &mut LinkerInstance<'_, State>, interface: &str, name: &str, ty: &ComponentFunc) -> Result<()> {
    let output = |rep| move |_: Store<'_>, (): ()| Ok((Resource::<Output>::new_own(rep),));
    match (interface, name) {
        ("wasi:cli/stdin", "get-stdin") => {
            instance.func_wrap(name, |_: Store<'_>, (): ()| Ok((Resource::<Input>::new_own(0),)))
        }
        ("wasi:cli/stdout", "get-stdout") => instance.func_wrap(name, output(Stream::Out as u32)),
        ("wasi:cli/stderr", "get-stderr") => instance.func_wrap(name, output(Stream::Error as u32)),
        ("wasi:cli/exit", _) => instance.func_new(name, |_, _, _, _| Err(wasmtime::Error::msg("it ended itself"))),
        ("wasi:sockets/instance-network", _) => {
            instance.func_wrap(name, |_: Store<'_>, (): ()| Ok((Resource::<Nothing>::new_own(0),)))
        }
        ("wasi:clocks/monotonic-clock", _) => clock(instance, name, ty),
        ("wasi:clocks/wall-clock", "now") => instance.func_new(name, |mut store, _, _, results| {
            let (seconds, nanoseconds) = store.data_mut().wasi().wall_clock();
            put(results, date(seconds, nanoseconds))
        }),
        ("wasi:clocks/wall-clock", "resolution") => {
            instance.func_new(name, |_, _, _, results| put(results, date(0, guest::TICK as u32)))
        }
        ("wasi:random/random" | "wasi:random/insecure", "get-random-bytes" | "get-insecure-random-bytes") => instance
            .func_wrap(name, |mut store: Store<'_>, (n,): (u64,)| {
                let n = limited(n)?;
                Ok((store.data_mut().wasi().random_bytes(n),))
            }),
        ("wasi:random/random" | "wasi:random/insecure", "get-random-u64" | "get-insecure-random-u64") => {
            instance.func_wrap(name, |mut store: Store<'_>, (): ()| Ok((store.data_mut().wasi().random(),)))
        }
        ("wasi:random/insecure-seed", "insecure-seed") => instance.func_wrap(name, |mut store: Store<'_>, (): ()| {
            let wasi = store.data_mut().wasi();
            Ok(((wasi.random(), wasi.random()),))
        }),
        ("wasi:io/poll", _) => waiting(instance, name, ty),
        ("wasi:io/streams", _) => stream(instance, name, ty),
        ("wasi:io/error", "[method]error.to-debug-string") => {
            instance.func_wrap(name, |_: Store<'_>, _: (Resource<Nothing>,)| Ok((String::from("refused"),)))
        }
        _ => refused(instance, interface, name, ty),
    }
}

fn clock(instance: &mut LinkerInstance<'_, State>, name: &str, ty: &ComponentFunc) -> Result<()> {
    match name {
        "now" => instance.func_wrap(name, |mut store: Store<'_>, (): ()| Ok((store.data_mut().wasi().now(),))),
        "resolution" => instance.func_wrap(name, |_: Store<'_>, (): ()| Ok((guest::TICK,))),
        "subscribe-instant" => instance.func_wrap(name, |mut store: Store<'_>, (at,): (u64,)| {
            Ok((Resource::<Alarm>::new_own(store.data_mut().wasi().alarm(at)?),))
        }),
        "subscribe-duration" => instance.func_wrap(name, |mut store: Store<'_>, (time,): (u64,)| {
            let wasi = store.data_mut().wasi();
            let at = wasi.now().saturating_add(time);
            Ok((Resource::<Alarm>::new_own(wasi.alarm(at)?),))
        }),
        _ => refused(instance, "wasi:clocks/monotonic-clock", name, ty),
    }
}

fn waiting(instance: &mut LinkerInstance<'_, State>, name: &str, ty: &ComponentFunc) -> Result<()> {
    match name {
        "poll" => instance.func_wrap(name, |mut store: Store<'_>, (alarms,): (Vec<Resource<Alarm>>,)| {
            let alarms: Vec<u32> = alarms.iter().map(Resource::rep).collect();
            Ok((store.data_mut().wait(&alarms)?,))
        }),
        "[method]pollable.ready" => instance.func_wrap(name, |mut store: Store<'_>, (alarm,): (Resource<Alarm>,)| {
            Ok((store.data_mut().wasi().is_due(alarm.rep()),))
        }),
        "[method]pollable.block" => instance.func_wrap(name, |mut store: Store<'_>, (alarm,): (Resource<Alarm>,)| {
            store.data_mut().wait(&[alarm.rep()]).map(drop)
        }),
        _ => refused(instance, "wasi:io/poll", name, ty),
    }
}

fn stream(instance: &mut LinkerInstance<'_, State>, name: &str, ty: &ComponentFunc) -> Result<()> {
    match name {
        "[method]output-stream.check-write" => instance.func_new(name, |store, _, params, results| {
            release(store, params)?;
            put(results, Val::Result(Ok(Some(Box::new(Val::U64(MAX_BYTES))))))
        }),
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            // By type: an error has a resource in it, which the typed way would have to know.
            instance.func_new(name, |mut store, _, params, results| {
                let [Val::Resource(to), Val::List(bytes)] = params else { return Err(odd()) };
                let to = to.try_into_resource::<Output>(&mut store)?.rep();
                let bytes: Vec<u8> =
                    bytes.iter().filter_map(|b| if let Val::U8(b) = b { Some(*b) } else { None }).collect();
                store.data_mut().print(if to == Stream::Error as u32 { Stream::Error } else { Stream::Out }, &bytes);
                put(results, Val::Result(Ok(None)))
            })
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            instance.func_new(name, |store, _, params, results| {
                release(store, params)?;
                put(results, Val::Result(Ok(None)))
            })
        }
        "[method]output-stream.subscribe" => {
            instance.func_wrap(name, |mut store: Store<'_>, _: (Resource<Output>,)| {
                Ok((Resource::<Alarm>::new_own(store.data_mut().wasi().alarm(0)?),))
            })
        }
        "[method]input-stream.subscribe" => instance.func_wrap(name, |mut store: Store<'_>, _: (Resource<Input>,)| {
            Ok((Resource::<Alarm>::new_own(store.data_mut().wasi().alarm(0)?),))
        }),
        _ => refused(instance, "wasi:io/streams", name, ty),
    }
}

/// Answers with the refusal that the function's own type has: an error, nothing, or an empty list; else the call ends.
fn refused(instance: &mut LinkerInstance<'_, State>, interface: &str, name: &str, ty: &ComponentFunc) -> Result<()> {
    let answer = ty.results().next().as_ref().and_then(refusal);
    let what = format!("a plugin may not use {interface} ({name})");
    instance.func_new(name, move |store, _, params, results| match &answer {
        Some(answer) => {
            release(store, params)?;
            put(results, answer.clone())
        }
        None => Err(wasmtime::Error::msg(what.clone())),
    })
}

fn refusal(ty: &Type) -> Option<Val> {
    match ty {
        Type::List(_) => Some(Val::List(Vec::new())),
        Type::Option(_) => Some(Val::Option(None)),
        Type::Result(result) => {
            let Some(error) = result.err() else { return Some(Val::Result(Err(None))) };
            let known = |names: Vec<&str>| REFUSALS.iter().find(|r| names.contains(r)).map(|r| (*r).to_owned());
            let error = match &error {
                Type::Enum(cases) => Val::Enum(known(cases.names().collect())?),
                Type::Variant(variant) => {
                    Val::Variant(known(variant.cases().filter(|c| c.ty.is_none()).map(|c| c.name).collect())?, None)
                }
                _ => return None,
            };
            Some(Val::Result(Err(Some(Box::new(error)))))
        }
        _ => None,
    }
}

/// Gives back what was lent for the call; typed functions do that by themselves.
fn release(mut store: Store<'_>, params: &[Val]) -> Result<()> {
    for param in params {
        if let Val::Resource(lent) = param {
            lent.resource_drop(&mut store)?;
        }
    }
    Ok(())
}

fn date(seconds: u64, nanoseconds: u32) -> Val {
    Val::Record(vec![("seconds".into(), Val::U64(seconds)), ("nanoseconds".into(), Val::U32(nanoseconds))])
}

fn put(results: &mut [Val], value: Val) -> Result<()> {
    *results.first_mut().ok_or_else(odd)? = value;
    Ok(())
}

fn odd() -> wasmtime::Error {
    wasmtime::Error::msg("a WASI function of another shape than that of 0.2")
}

fn limited(bytes: u64) -> Result<usize> {
    match bytes <= MAX_BYTES {
        true => Ok(bytes as usize),
        false => Err(wasmtime::Error::msg(format!("it asked for {bytes} bytes at once"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_second_version_of_known_packages() {
        assert!(offers("wasi:cli/environment@0.2.9") && offers("wasi:sockets/tcp@0.2.0"));
        assert!(!offers("wasi:http/types@0.2.9") && !offers("wasi:cli/environment@0.3.0"));
        assert!(!offers("wasi:cli/environment") && !offers("anagama:plugin/types@0.1.0"));
    }
}
