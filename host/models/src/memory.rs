//! How much memory the working copies of weights may take, and on which device. A network's weights lie in mapped files; what a layer computes
//! with is a copy of them, made at first use and made again if it had to go.

use candle_core::{Device, Result};
use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device and a budget, shared by all networks that were loaded with it. Cheap to clone: clones are the same budget.
///
/// When the working copies take more bytes than the budget, those that were used the longest ago are dropped. The copy
/// that an operation is computing with stays until the operation ends, whatever the budget, so that a budget of 0 means
/// one layer at a time.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    device: Device,
}

struct State {
    budget: usize,
    used: usize,
    /// Counts uses; a copy's mark is the count at its last use.
    clock: u64,
    copies: HashMap<Key, Copy>,
}

struct Copy {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    last: u64,
}

/// A weight, and which of its working copies.
pub(crate) type Key = (u64, u8);

static WEIGHTS: AtomicU64 = AtomicU64::new(0);

/// A number that no other weight of this process has.
pub(crate) fn weight_id() -> u64 {
    WEIGHTS.fetch_add(1, Ordering::Relaxed)
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::unlimited()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        write!(f, "Memory {{ budget: {}, used: {}, device: {:?} }}", state.budget, state.used, self.device)
    }
}

impl Memory {
    /// At most `bytes` of working copies, for the CPU.
    pub fn new(bytes: usize) -> Memory {
        let state = State { budget: bytes, used: 0, clock: 0, copies: HashMap::new() };
        Memory { state: Arc::new(Mutex::new(state)), device: Device::Cpu }
    }

    /// The same budget for networks that compute on this device.
    pub fn on(&self, device: &Device) -> Memory {
        Memory { state: self.state.clone(), device: device.clone() }
    }

    /// The device that computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Copies stay as long as their network lives, or until [`Memory::release`].
    pub fn unlimited() -> Memory {
        Memory::new(usize::MAX)
    }

    /// Bytes that the working copies take now.
    pub fn used(&self) -> usize {
        self.state().used
    }

    /// The most bytes that copies may take.
    pub fn budget(&self) -> usize {
        self.state().budget
    }

    /// Drops all working copies; the next use of a layer makes its own again.
    pub fn release(&self) {
        let dropped = {
            let mut state = self.state();
            state.used = 0;
            std::mem::take(&mut state.copies)
        };
        drop(dropped);
    }

    /// The copy under this key, made by `make` if there is none: the value and its bytes.
    pub(crate) fn get<T: Any + Send + Sync>(
        &self,
        key: Key,
        make: impl FnOnce() -> Result<(T, usize)>,
    ) -> Result<Arc<T>> {
        if let Some(found) = self.state().touch(key) {
            return Ok(found);
        }
        // Not under the lock: making a copy uses all threads, and one of them may come here for another layer. Two that
        // make the same copy are rare and do no harm.
        let (value, bytes) = make()?;
        let value = Arc::new(value);
        let mut state = self.state();
        if let Some(found) = state.touch(key) {
            return Ok(found);
        }
        let last = state.clock;
        state.copies.insert(key, Copy { value: value.clone(), bytes, last });
        state.used += bytes;
        let dropped = state.shrink();
        drop(state);
        drop(dropped);
        Ok(value)
    }

    /// Drops the copies of a weight that is no more.
    pub(crate) fn forget(&self, id: u64, kinds: impl IntoIterator<Item = u8>) {
        let mut state = self.state();
        for kind in kinds {
            if let Some(copy) = state.copies.remove(&(id, kind)) {
                state.used -= copy.bytes;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so that a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn touch<T: Any + Send + Sync>(&mut self, key: Key) -> Option<Arc<T>> {
        self.clock += 1;
        let copy = self.copies.get_mut(&key)?;
        copy.last = self.clock;
        copy.value.clone().downcast().ok()
    }

    /// Takes out what was used the longest ago until the rest fits.
    fn shrink(&mut self) -> Vec<Copy> {
        let mut dropped = Vec::new();
        while self.used > self.budget {
            let Some(key) = self.copies.iter().min_by_key(|(_, copy)| copy.last).map(|(key, _)| *key) else { break };
            let Some(copy) = self.copies.remove(&key) else { break };
            self.used -= copy.bytes;
            dropped.push(copy);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_copies_go_first() -> Result<()> {
        let memory = Memory::new(10);
        let made = std::cell::Cell::new(0);
        let get = |id: u64, bytes: usize| {
            memory.get((id, 0), || {
                made.set(made.get() + 1);
                Ok((id * 10, bytes))
            })
        };
        assert_eq!((*get(1, 4)?, *get(2, 4)?, memory.used(), made.get()), (10, 20, 8, 2));
        get(1, 4)?; // So that 2 is the one to go.
        get(3, 4)?;
        assert_eq!((memory.used(), made.get()), (8, 3));
        get(1, 4)?;
        assert_eq!(made.get(), 3);
        get(2, 4)?;
        assert_eq!(made.get(), 4);
        // Larger than the whole budget: given, but not kept.
        let held = get(9, 11)?;
        assert_eq!((*held, memory.used()), (90, 0));
        Ok(())
    }

    #[test]
    fn released_and_forgotten_copies_are_made_again() -> Result<()> {
        let memory = Memory::unlimited();
        let get = |value: i32| memory.get((7, 1), || Ok((value, 100)));
        let first = get(1)?;
        assert_eq!(*get(2)?, 1);
        memory.release();
        assert_eq!((memory.used(), *first, *get(3)?), (0, 1, 3));
        memory.forget(7, [0, 1]);
        assert_eq!((memory.used(), *get(4)?), (0, 4));
        Ok(())
    }
}
