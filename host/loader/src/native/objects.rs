//! What a native plugin's object holds in the host, and the call it is in.

use crate::CallContext;
use crate::error::Fault;
use crate::kinds::Answer;
use crate::services::{Held, Services, refuse};
use data::{Array, Image, Session};
use parking_lot::Mutex;
use plugin_abi::{BULK, ERROR, OK, PANICKED, Sink, Str, WHOLE};
use spec::{ErrorKind, PluginError};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

/// A library's running calls, for `log` and `cancelled` from threads of its own.
#[derive(Default)]
pub(super) struct LibraryContext {
    pub(super) running: Mutex<Vec<CallContext>>,
}

/// Something behind a handle.
pub(super) enum Object {
    Image(Held<Image>),
    Tensor(Held<Array>),
    Session(Held<Arc<dyn Session>>),
    Handle(Held<spec::Object>),
}

/// Objects and services of one opened plugin object.
pub(super) struct Objects {
    inner: RefCell<Inner>,
    context: &'static LibraryContext,
    /// The library's own process, if it has one.
    #[cfg(unix)]
    process: RefCell<Option<super::process::Process>>,
}

pub(super) struct Inner {
    pub(super) services: Services,
    entries: HashMap<u64, Object>,
    last: u64,
    /// Pixels lent by `image_view` in another format; they live until the call returns.
    pub(super) views: Vec<Arc<[u8]>>,
    /// The run was cancelled or the time is up: the call counts as failed, whatever it answers.
    pub(super) stop: Option<Fault>,
}

thread_local! {
    /// The objects of the call that this thread is in.
    static CURRENT: Cell<*const Objects> = const { Cell::new(std::ptr::null()) };
}

impl Objects {
    pub(super) fn new(services: Services, context: &'static LibraryContext) -> Self {
        let inner = Inner { services, entries: HashMap::new(), last: 0, views: Vec::new(), stop: None };
        Self {
            inner: RefCell::new(inner),
            context,
            #[cfg(unix)]
            process: RefCell::default(),
        }
    }

    /// As they are, for a library in a process of its own.
    #[cfg(unix)]
    pub(super) fn with_process(self, process: super::process::Process) -> Self {
        self.process.replace(Some(process));
        self
    }

    /// A call into that process.
    #[cfg(unix)]
    pub(super) fn process<T>(
        &self,
        f: impl FnOnce(&mut super::process::Process) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match self.process.borrow_mut().as_mut() {
            Some(process) => f(process),
            None => Err(Fault::Trapped("it has no process".to_owned())),
        }
    }

    /// The call in progress has failed for this reason.
    #[cfg(unix)]
    pub(super) fn stop(&self, fault: Fault) {
        let mut inner = self.inner.borrow_mut();
        // The first reason is the reason.
        inner.stop.get_or_insert(fault);
    }

    /// Gives the plugin a handle on `object`.
    pub(super) fn give(&self, object: impl FnOnce(&Services) -> Result<Object, PluginError>) -> Result<u64, Fault> {
        let mut inner = self.inner.borrow_mut();
        let object = object(&inner.services).map_err(|e| Fault::Trapped(e.message))?;
        Ok(inner.insert(object))
    }

    /// Takes back what the plugin gave.
    pub(super) fn take(&self, handle: u64) -> Option<Object> {
        self.inner.borrow_mut().entries.remove(&handle)
    }

    /// Calls the plugin with a sink for its results.
    pub(super) fn enter(&self, f: impl FnOnce(Sink) -> i32) -> Answer<Results> {
        let call = {
            let mut inner = self.inner.borrow_mut();
            inner.services.begin_call();
            // Asked once before, since nothing can stop the call afterwards.
            inner.services.check()?;
            inner.services.call.clone()
        };
        self.context.running.lock().push(call);
        let mut results = Results::default();
        let before = CURRENT.replace(self);
        let status = f(results.sink());
        CURRENT.set(before);
        self.context.running.lock().pop();
        let mut inner = self.inner.borrow_mut();
        inner.views.clear();
        if let Some(fault) = inner.stop.take() {
            return Err(fault);
        }
        if results.bytes > MAX_RESULTS {
            let (found, limit) = (results.bytes >> 20, MAX_RESULTS >> 20);
            return Err(Fault::Trapped(format!(
                "it broke the contract: it answered with {found} MiB, {limit} MiB are allowed"
            )));
        }
        match status {
            OK => Ok(Ok(results)),
            PANICKED => Err(Fault::Trapped(results.error().message)),
            _ => Ok(Err(results.error())),
        }
    }
}

/// The objects of the call that this thread is in.
#[cfg(unix)]
pub(super) fn objects<'a>() -> Option<&'a Objects> {
    // SAFETY: set by `enter` on this thread, which outlives the call and puts the old value back when it ends.
    unsafe { CURRENT.get().as_ref() }
}

/// Runs `f` with the objects of the call that this thread is in.
pub(super) fn current<T>(f: impl FnOnce(&mut Inner) -> Result<T, PluginError>) -> Result<T, PluginError> {
    let objects = CURRENT.get();
    if objects.is_null() {
        return refuse(ErrorKind::InvalidInput, "the host's functions may only be called during a call of the plugin");
    }
    // SAFETY: set by `enter` on this thread, which outlives the call and puts the old value back when it ends.
    let objects = unsafe { &*objects };
    match objects.inner.try_borrow_mut() {
        Ok(mut inner) => f(&mut inner),
        Err(_) => refuse(ErrorKind::InvalidInput, "the host's functions may not be called from within one of them"),
    }
}

impl Inner {
    pub(super) fn insert(&mut self, object: Object) -> u64 {
        self.last += 1;
        self.entries.insert(self.last, object);
        self.last
    }

    pub(super) fn remove(&mut self, handle: u64) {
        self.entries.remove(&handle);
    }

    pub(super) fn image(&self, handle: u64) -> Result<&Held<Image>, PluginError> {
        match self.entries.get(&handle) {
            Some(Object::Image(image)) => Ok(image),
            _ => unknown("image", handle),
        }
    }

    pub(super) fn tensor(&self, handle: u64) -> Result<&Held<Array>, PluginError> {
        match self.entries.get(&handle) {
            Some(Object::Tensor(tensor)) => Ok(tensor),
            _ => unknown("tensor", handle),
        }
    }

    pub(super) fn session(&self, handle: u64) -> Result<Arc<dyn Session>, PluginError> {
        match self.entries.get(&handle) {
            Some(Object::Session(session)) => Ok(session.value.clone()),
            _ => unknown("session", handle),
        }
    }

    pub(super) fn handle(&self, handle: u64) -> Result<&Held<spec::Object>, PluginError> {
        match self.entries.get(&handle) {
            Some(Object::Handle(object)) => Ok(object),
            _ => unknown("handle", handle),
        }
    }

    /// A result of a service that can end the call: a library cannot be ended, so it is told.
    pub(super) fn unless<T>(&mut self, result: Result<Result<T, PluginError>, Fault>) -> Result<T, PluginError> {
        result.unwrap_or_else(|fault| {
            self.stop = Some(fault.clone());
            refuse(fault.kind(), fault.to_string())
        })
    }
}

fn unknown<T>(what: &str, handle: u64) -> Result<T, PluginError> {
    refuse(ErrorKind::InvalidInput, format!("unknown {what} handle {handle}"))
}

/// What a plugin put into a sink.
#[derive(Default)]
pub(super) struct Results {
    pub(super) items: Vec<(u64, i32, Vec<u8>)>,
    /// Bytes put so far; what goes beyond [`MAX_RESULTS`] is counted and not kept.
    bytes: usize,
}

/// Bytes that one call may answer with.
const MAX_RESULTS: usize = 256 << 20;

impl Results {
    fn sink(&mut self) -> Sink {
        Sink { ctx: std::ptr::from_mut(self).cast::<c_void>(), put }
    }

    /// The good result with this index.
    pub(super) fn good(&self, index: u64) -> Option<&[u8]> {
        self.items.iter().find(|(i, status, _)| *i == index && *status == OK).map(|(_, _, data)| data.as_slice())
    }

    /// The bulk bytes with this index.
    pub(super) fn bulk(&self, index: u64) -> Option<&[u8]> {
        self.items.iter().find(|(i, status, _)| *i == index && *status == BULK).map(|(_, _, data)| data.as_slice())
    }

    /// The good result with this index, as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, index: u64) -> Result<T, String> {
        let data = self.good(index).ok_or_else(|| format!("result {index} is missing"))?;
        serde_json::from_slice(data).map_err(|e| format!("result {index}: {e}"))
    }

    /// One answer per item: a result or an error of its own.
    pub(super) fn answers<T: serde::de::DeserializeOwned>(
        &self,
        count: usize,
    ) -> Result<Vec<Result<T, PluginError>>, Fault> {
        let bad = |e: String| Fault::Trapped(format!("it broke the contract: {e}"));
        let one = |i: usize| {
            let mut given = self.items.iter().filter(|(index, status, _)| *index == i as u64 && *status != BULK);
            match given.next() {
                Some((_, OK, data)) => {
                    serde_json::from_slice(data).map(Ok).map_err(|e| bad(format!("answer {i}: {e}")))
                }
                Some((_, _, data)) => Ok(Err(error(data))),
                None => Err(bad(format!("expected {count} answers, found none for item {i}"))),
            }
        };
        (0..count).map(one).collect()
    }

    /// The error of the call as a whole.
    fn error(&self) -> PluginError {
        let whole = self.items.iter().find(|(index, status, _)| *index == WHOLE && [ERROR, PANICKED].contains(status));
        whole.map_or_else(
            || PluginError::new(ErrorKind::Internal, "failed without saying why"),
            |(_, _, data)| error(data),
        )
    }
}

fn error(data: &[u8]) -> PluginError {
    serde_json::from_slice(data)
        .unwrap_or_else(|_| PluginError::new(ErrorKind::Internal, String::from_utf8_lossy(data).into_owned()))
}

unsafe extern "C" fn put(ctx: *mut c_void, index: u64, status: i32, data: Str) {
    // SAFETY: `ctx` is the `Results` of the call in progress, used by the plugin's thread alone, and the bytes are
    // lent for this call.
    let (results, data) = unsafe { (&mut *ctx.cast::<Results>(), data.bytes()) };
    results.bytes = results.bytes.saturating_add(data.len());
    if results.bytes <= MAX_RESULTS {
        results.items.push((index, status, data.to_vec()));
    }
}
