//! Components: compiled, linked, limited and called through wasmtime.

mod state;
pub(crate) mod v0_1;
mod wasi;

use crate::aot::{AotCache, Compiler};
use crate::kinds::{KINDS, Kind};
use std::path::PathBuf;
use std::time::Duration;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy};

pub(crate) use state::State;
#[expect(unreachable_pub, reason = "the generated bindings re-export them as `pub`")]
pub use state::{HostHandle, HostImage, HostSession, HostTensor};

/// How often a running component is interrupted to see whether it must stop.
const TICK: Duration = Duration::from_millis(10);

/// The one engine that all components run in.
pub(crate) struct Runtime {
    engine: Engine,
    linker: Linker<State>,
    aot: AotCache,
}

impl Runtime {
    /// An engine with its ticker; compiled components are kept in `cache`, large ones made by the compiler.
    pub(crate) fn new(cache: PathBuf, compiler: Option<Compiler>) -> Result<Self, String> {
        let engine = engine().map_err(|e| format!("{e:#}"))?;
        let weak = engine.weak();
        // The thread ends with the engine.
        std::thread::Builder::new()
            .name("plugin-ticker".to_owned())
            .spawn(move || {
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(|e| e.to_string())?;
        let linker = v0_1::linker(&engine).map_err(|e| format!("{e:#}"))?;
        let aot = AotCache::new(cache, &engine, compiler);
        Ok(Self { engine, linker, aot })
    }

    /// Compiles and links a component with these bytes and this sha256.
    pub(crate) fn load(&self, bytes: &[u8], sha: &str) -> Result<v0_1::Linked, String> {
        let component = self.aot.component(&self.engine, bytes, sha)?;
        let kinds = exported_kinds(&self.engine, &component);
        let ty = component.component_type();
        let imports = ty.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        let linked = wasi::link(&self.linker, &self.engine, &component).map_err(|e| format!("does not link: {e:#}"))?;
        let linker = linked.as_ref().unwrap_or(&self.linker);
        let pre = linker.instantiate_pre(&component).map_err(|e| link_error(&self.engine, &component, &e))?;
        let linked = v0_1::Linked::new(self.engine.clone(), pre, kinds, imports);
        linked.map_err(|e| link_error(&self.engine, &component, &e))
    }
}

/// On-demand allocation (plugins are few and live long), interruption by epochs, no fuel.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config)
}

/// The kinds whose interface the component exports, in any version.
fn exported_kinds(engine: &Engine, component: &Component) -> Vec<Kind> {
    let ty = component.component_type();
    let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let has = |interface: &str| exports.iter().any(|e| e.split('@').next() == Some(interface));
    KINDS.iter().filter(|row| has(row.interface)).map(|row| row.kind).collect()
}

/// Why a component does not link, with a hint for the usual reason.
fn link_error(engine: &Engine, component: &Component, error: &wasmtime::Error) -> String {
    let ty = component.component_type();
    let foreign: Vec<String> = ty
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .filter(|n| !n.starts_with("anagama:plugin/") && !wasi::offers(n))
        .collect();
    if foreign.is_empty() {
        let names = ty.imports(engine).map(|(n, _)| n.to_owned()).chain(ty.exports(engine).map(|(n, _)| n.to_owned()));
        return match names.collect::<Vec<_>>().iter().find_map(|name| other_version(name)) {
            Some(why) => format!("does not link: {why} ({error:#})"),
            None => format!("does not link: {error:#}"),
        };
    }
    format!(
        "imports {}, which this host does not offer; a plugin may import `anagama:plugin`, and of WASI 0.2 what an \
         interpreter needs to start; with Rust, build it for wasm32-unknown-unknown",
        foreign.join(", ")
    )
}

/// Which side is too old, if an interface has a version that this host does not offer.
fn other_version(name: &str) -> Option<String> {
    let (interface, version) = name.split_once('@').filter(|(i, _)| i.starts_with("anagama:plugin/"))?;
    let side = crate::manifest::too_old(crate::manifest::triple(version)?)?;
    let (major, minor, patch) = crate::manifest::WIT_VERSION;
    Some(format!("it was built with `{interface}` {version}, this host offers {major}.{minor}.{patch}; {side}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_say_which_side_is_too_old() {
        assert_eq!(other_version("anagama:plugin/types@0.1.0"), None);
        assert_eq!(other_version("wasi:cli/run@0.2.0"), None);
        assert!(other_version("anagama:plugin/types@0.2.0").unwrap().contains("this program is too old"));
        assert!(other_version("anagama:plugin/types@0.0.3").unwrap().contains("the plugin is too old"));
    }
}
