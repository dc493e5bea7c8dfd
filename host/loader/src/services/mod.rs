//! What a plugin may ask the host for, written once for components and native libraries.
//!
//! Every refusal is an error that the plugin sees, never a crash; only a cancelled run or a deadline ends the call.

pub(crate) mod control;
pub(crate) mod download;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod images;
pub(crate) mod models;
pub(crate) mod pace;
pub(crate) mod refusals;
pub(crate) mod responses;
pub(crate) mod retry;
pub(crate) mod secrets;
pub(crate) mod storage;
pub(crate) mod tensors;

use crate::error::Fault;
use crate::grants::Rights;
use crate::{CallContext, Limits};
use data::Inference;
use spec::{ErrorKind, PluginError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often a waiting host call looks whether the run was cancelled.
const POLL: Duration = Duration::from_millis(5);

/// The host as one plugin instance sees it.
pub(crate) struct Services {
    /// The plugin as error messages and logs name it.
    pub(crate) label: String,
    pub(crate) rights: Rights,
    pub(crate) call: CallContext,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) inference: Option<Arc<dyn Inference>>,
    pub(crate) storage: storage::Storage,
    pub(crate) network: download::Network,
    /// When the call in progress must have ended.
    deadline: Instant,
    /// The last error that the plugin logged during the call in progress: its panic message, if it panicked.
    last_words: Option<String>,
}

impl Services {
    pub(crate) fn new(
        label: String,
        rights: Rights,
        call: CallContext,
        limits: Limits,
        inference: Option<Arc<dyn Inference>>,
        storage: storage::Storage,
        network: download::Network,
    ) -> Self {
        Self {
            label,
            rights,
            call,
            limits,
            budget: Budget::new(limits.host_bytes, limits.handles),
            inference,
            storage,
            network,
            deadline: Instant::now() + limits.deadline,
            last_words: None,
        }
    }

    /// A new call into the plugin begins.
    pub(crate) fn begin_call(&mut self) {
        self.deadline = Instant::now() + self.limits.deadline;
        self.last_words = None;
    }

    /// Must the call end?
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if (self.call.cancelled)() {
            Err(Fault::Cancelled)
        } else if Instant::now() >= self.deadline {
            Err(Fault::Deadline(self.limits.deadline))
        } else {
            Ok(())
        }
    }

    /// Passes a result on; a refusal is kept for `plugins explain`.
    pub(crate) fn note<T>(&self, result: Result<T, PluginError>) -> Result<T, PluginError> {
        self.network.refusals.note(&self.label, result)
    }

    /// Time left for the call.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Runs slow host work on a thread of its own, so that cancelling and the deadline do not wait for it. The
    /// work is left to finish by itself then.
    pub(crate) fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
        self.check()?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let _ = sender.send(work());
        });
        loop {
            match receiver.recv_timeout(POLL) {
                Ok(done) => return Ok(done),
                Err(RecvTimeoutError::Timeout) => self.check()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Fault::Trapped("the host's own work failed; see the log".to_owned()));
                }
            }
        }
    }
}

/// An error of `kind` for the plugin.
pub(crate) fn refuse<T>(kind: ErrorKind, message: impl Into<String>) -> Result<T, PluginError> {
    Err(PluginError::new(kind, message))
}

/// Bytes and handles that one instance may make the host hold.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Account>);

struct Account {
    bytes: AtomicU64,
    max_bytes: u64,
    handles: AtomicUsize,
    max_handles: usize,
}

impl Budget {
    pub(crate) fn new(max_bytes: u64, max_handles: usize) -> Self {
        Self(Arc::new(Account { bytes: AtomicU64::new(0), max_bytes, handles: AtomicUsize::new(0), max_handles }))
    }

    fn bytes(&self, bytes: u64) -> Result<Bytes, PluginError> {
        let Account { bytes: used, max_bytes, .. } = &*self.0;
        let take = |before: u64| before.checked_add(bytes).filter(|after| after <= max_bytes);
        match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(Bytes { budget: self.clone(), bytes }),
            Err(before) => refuse(
                ErrorKind::TooLarge,
                format!(
                    "images and tensors may take {max_bytes} bytes in the host, {before} are in use and {bytes} more \
                     were asked for"
                ),
            ),
        }
    }

    fn handle(&self) -> Result<Handle, PluginError> {
        let Account { handles, max_handles, .. } = &*self.0;
        let take = |before: usize| Some(before + 1).filter(|after| after <= max_handles);
        match handles.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(Handle { budget: self.clone() }),
            Err(_) => refuse(
                ErrorKind::TooLarge,
                format!("{max_handles} handles are open and no more may be; drop some first"),
            ),
        }
    }
}

/// Bytes in use, given back on drop.
struct Bytes {
    budget: Budget,
    bytes: u64,
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.budget.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A handle in use, given back on drop.
struct Handle {
    budget: Budget,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.budget.0.handles.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Something a plugin holds a handle on, with what it costs.
#[expect(unreachable_pub, reason = "the generated bindings re-export it as `pub`")]
pub struct Held<T> {
    pub(crate) value: T,
    bytes: Arc<Bytes>,
    handle: Handle,
}

impl<T> Held<T> {
    /// Charges `bytes` first and makes the value only if they are there.
    pub(crate) fn make(
        budget: &Budget,
        bytes: u64,
        make: impl FnOnce() -> Result<T, PluginError>,
    ) -> Result<Self, PluginError> {
        let (bytes, handle) = (Arc::new(budget.bytes(bytes)?), budget.handle()?);
        Ok(Self { value: make()?, bytes, handle })
    }

    /// A value that costs a handle and no bytes: the host holds it anyway.
    pub(crate) fn lent(budget: &Budget, value: T) -> Result<Self, PluginError> {
        Self::make(budget, 0, || Ok(value))
    }

    /// A value on the same storage: a handle more, the bytes are charged until the last of them is dropped.
    pub(crate) fn share(&self, value: T) -> Result<Self, PluginError> {
        Ok(Self { value, bytes: self.bytes.clone(), handle: self.handle.budget.handle()? })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::grants::Grants;
    use crate::manifest::Requests;

    pub(crate) fn services(
        requests: &Requests,
        grants: &Grants,
        call: CallContext,
        folder: &std::path::Path,
    ) -> Services {
        let rights = Rights::new("example.x", requests, grants);
        let storage = storage::Storage::new(folder.join("storage"), rights.storage);
        Services::new(
            "plugin example.x".into(),
            rights,
            call,
            Limits::default(),
            None,
            storage,
            download::Network::default(),
        )
    }

    #[test]
    fn bytes_and_handles_are_given_back() {
        let budget = Budget::new(100, 2);
        let charge = |bytes| Held::make(&budget, bytes, || Ok(()));
        let a = charge(60).unwrap();
        assert_eq!(charge(41).err().unwrap().kind, ErrorKind::TooLarge);
        let b = charge(40).unwrap();
        assert!(charge(0).err().unwrap().message.contains("2 handles"));
        drop(b);
        let c = a.share(()).unwrap();
        drop(a);
        assert!(charge(41).is_err(), "the bytes are in use as long as one handle shares them");
        drop(c);
        assert!(charge(u64::MAX).is_err());
        assert!(charge(100).is_ok());
    }

    #[test]
    fn waiting_ends_when_the_run_is_cancelled_or_the_time_is_up() {
        let dir = tempfile::tempdir().unwrap();
        let call = CallContext { cancelled: Arc::new(|| true), ..CallContext::default() };
        let s = services(&Requests::default(), &Grants::default(), call, dir.path());
        assert_eq!(s.blocking(|| ()).unwrap_err(), Fault::Cancelled);

        let mut s = services(&Requests::default(), &Grants::default(), CallContext::default(), dir.path());
        assert_eq!(s.blocking(|| 7).unwrap(), 7);
        s.limits.deadline = Duration::from_millis(20);
        s.begin_call();
        let (_keep, never) = channel::<()>();
        assert!(matches!(s.blocking(move || never.recv()), Err(Fault::Deadline(_))));
    }
}
