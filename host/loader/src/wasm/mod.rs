//! Components: compiled, linked, limited and called through wasmtime.

mod state;
pub(crate) mod v0_1;

use crate::aot::AotCache;
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
    /// An engine with its ticker; compiled components are kept in `cache`.
    pub(crate) fn new(cache: PathBuf) -> Result<Self, String> {
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
        let aot = AotCache::new(cache, &engine);
        Ok(Self { engine, linker, aot })
    }

    /// Compiles and links a component with these bytes and this sha256.
    pub(crate) fn load(&self, bytes: &[u8], sha: &str) -> Result<v0_1::Linked, String> {
        let component = self.aot.component(&self.engine, bytes, sha)?;
        let kinds = exported_kinds(&self.engine, &component);
        let ty = component.component_type();
        let imports = ty.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        let pre = self.linker.instantiate_pre(&component).map_err(|e| link_error(&self.engine, &component, &e))?;
        v0_1::Linked::new(self.engine.clone(), pre, kinds, imports).map_err(|e| format!("does not link: {e:#}"))
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
    let foreign: Vec<String> =
        ty.imports(engine).map(|(name, _)| name.to_owned()).filter(|n| !n.starts_with("anagama:plugin/")).collect();
    if foreign.is_empty() {
        return format!("does not link: {error:#}");
    }
    format!(
        "imports {}, which this host does not offer; a plugin may import `anagama:plugin` alone, so build it for \
         wasm32-unknown-unknown",
        foreign.join(", ")
    )
}
