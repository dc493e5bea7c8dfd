//! What a component instance owns in the host, and the limits it runs under.

use crate::error::Fault;
use crate::services::{Held, Services};
use data::{Array, Image, Session};
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

/// The types behind the WIT's resources.
#[expect(unreachable_pub, reason = "the generated bindings re-export them as `pub`")]
mod resources {
    use super::*;

    pub type HostImage = Held<Image>;
    pub type HostTensor = Held<Array>;
    pub type HostSession = Held<Arc<dyn Session>>;
    pub type HostHandle = Held<spec::Object>;
}
#[expect(unreachable_pub, reason = "as above")]
pub use resources::{HostHandle, HostImage, HostSession, HostTensor};

/// Core instances, tables and memories of one component instance.
const MAX_PARTS: usize = 64;
/// Elements of one table: function pointers of a large interpreter fit many times.
const MAX_TABLE: usize = 100_000;

pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) services: Services,
    /// Why the call must end, once that is known.
    stop: Option<Fault>,
    /// Linear memory in use, over all memories of the instance.
    memory: usize,
    /// The last growth that was refused.
    refused: Option<usize>,
    /// What a guest that uses WASI sees of the world; none: it never asked.
    pub(super) wasi: Option<Box<super::wasi::Guest>>,
}

impl State {
    /// A store for one instance.
    pub(crate) fn store(engine: &Engine, services: Services) -> Store<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(services.limits.handles);
        // What one host call may copy out of the guest: a picture of the whole budget would still be refused later.
        let copied = usize::try_from(services.limits.host_bytes.min(services.limits.memory)).unwrap_or(usize::MAX);
        let mut store = Store::new(engine, Self { table, services, stop: None, memory: 0, refused: None, wasi: None });
        store.set_hostcall_fuel(copied);
        store.limiter(|state| state);
        store.epoch_deadline_callback(|mut context| {
            let state = context.data_mut();
            match state.services.check() {
                Ok(()) => Ok(UpdateDeadline::Continue(1)),
                Err(fault) => Err(state.end(fault)),
            }
        });
        store
    }

    /// Notes why the call ends and gives the error that ends it.
    pub(crate) fn end(&mut self, fault: Fault) -> wasmtime::Error {
        self.stop = Some(fault.clone());
        wasmtime::Error::msg(fault.to_string())
    }
}

/// One call into the guest, under the deadline; an error means that the instance is dead.
pub(crate) fn call<T>(
    store: &mut Store<State>,
    f: impl FnOnce(&mut Store<State>) -> wasmtime::Result<T>,
) -> Result<T, Fault> {
    store.data_mut().services.begin_call();
    if let Some(wasi) = &mut store.data_mut().wasi {
        wasi.begin_call();
    }
    store.set_epoch_deadline(1);
    f(store).map_err(|error| {
        let state = store.data_mut();
        state.stop.take().unwrap_or_else(|| Fault::Trapped(explain(state, &error)))
    })
}

fn explain(state: &State, error: &wasmtime::Error) -> String {
    tracing::debug!("{}: {error:?}", state.services.label);
    // A Rust plugin says why it panics, an interpreter prints its exception; the trap itself only says that there was one.
    let words = state.services.last_words().map(str::to_owned).or_else(|| state.wasi_last_words());
    let mut text = words.unwrap_or_else(|| error.root_cause().to_string());
    if let Some(wanted) = state.refused {
        let cap = state.services.limits.memory >> 20;
        let wanted = wanted.div_ceil(1 << 20);
        text = format!(
            "it asked for {wanted} MiB of memory, the limit is {cap} MiB; `memory-mib` under [limits] allows more ({text})"
        );
    }
    text
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory - current.min(self.memory) + desired;
        let granted = total as u64 <= self.services.limits.memory;
        if granted {
            self.memory = total;
        } else {
            self.refused = Some(total);
            let label = &self.services.label;
            tracing::warn!(
                "{label}: {} MiB of memory refused, the limit is {} MiB",
                total >> 20,
                self.services.limits.memory >> 20
            );
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE)
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}
