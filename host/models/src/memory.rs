//! How much memory the working copies of weights may take, and on which device. A network's weights lie in mapped files; what a layer computes
//! with is a copy of them, made at first use and made again if it had to go.

use crate::ops::Width;
use candle_core::{Device, Result};
use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device and a budget, shared by all networks that were loaded with it. Cheap to clone: clones are the same budget.
///
/// When the working copies take more bytes than the budget, those that were used the longest ago are dropped for a new one,
/// unless the new one itself has not been used for longer: a network that is larger than the budget and runs again and
/// again keeps as many of its layers as fit, instead of dropping each just before it comes again, and the others are made
/// each time. The copy that an operation is computing with stays until the operation ends, whatever the budget, so that a
/// budget of 0 means one layer at a time.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    device: Device,
    width: Width,
}

struct State {
    budget: usize,
    used: usize,
    /// Counts uses; a copy's mark is the count at its last use.
    clock: u64,
    copies: HashMap<Key, Copy>,
    /// The marks of copies that were dropped or never kept, until their weight is no more.
    gone: HashMap<Key, u64>,
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
        let state = State { budget: bytes, used: 0, clock: 0, copies: HashMap::new(), gone: HashMap::new() };
        Memory { state: Arc::new(Mutex::new(state)), device: Device::Cpu, width: Width::default() }
    }

    /// The same budget for networks that compute on this device.
    pub fn on(&self, device: &Device) -> Memory {
        Memory { device: device.clone(), ..self.clone() }
    }

    /// The same budget for networks whose working copies have this width.
    pub fn keeping(&self, width: Width) -> Memory {
        Memory { width, ..self.clone() }
    }

    /// How wide working copies are.
    pub fn width(&self) -> Width {
        self.width
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
            state.gone.clear();
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
        let dropped = state.keep(key, value.clone(), bytes);
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
            state.gone.remove(&(id, kind));
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

    /// Keeps a copy if there is room for it, or if what is in its way has not been used for longer than it: gives what had
    /// to go.
    fn keep(&mut self, key: Key, value: Arc<dyn Any + Send + Sync>, bytes: usize) -> Vec<Copy> {
        // One that has never been asked for counts as the newest.
        let before = self.gone.insert(key, self.clock).unwrap_or(self.clock);
        let (mut dropped, mut free) = (Vec::new(), self.budget.saturating_sub(self.used));
        let mut oldest: Vec<(u64, Key, usize)> = Vec::new();
        if free < bytes {
            oldest = self.copies.iter().map(|(key, copy)| (copy.last, *key, copy.bytes)).collect();
            oldest.sort_unstable();
        }
        let mut going = Vec::new();
        for (last, key, bytes_of) in oldest {
            if free >= bytes || last > before {
                break;
            }
            free += bytes_of;
            going.push(key);
        }
        if free < bytes {
            return dropped;
        }
        for key in going {
            let Some(copy) = self.copies.remove(&key) else { continue };
            self.used -= copy.bytes;
            self.gone.insert(key, copy.last);
            dropped.push(copy);
        }
        self.gone.remove(&key);
        self.copies.insert(key, Copy { value, bytes, last: self.clock });
        self.used += bytes;
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
        // Larger than the whole budget: given, but not kept, and nothing goes for it.
        let held = get(9, 11)?;
        assert_eq!((*held, memory.used()), (90, 8));
        Ok(())
    }

    #[test]
    fn what_runs_again_and_again_and_does_not_fit_keeps_a_part() -> Result<()> {
        let layers = 10;
        let there_and_back = (0..layers).chain((0..layers).rev()).collect::<Vec<u64>>();
        for (order, most) in [((0..layers).collect(), 6), (there_and_back, 12)] {
            let (memory, made) = (Memory::new(4), std::cell::Cell::new(0));
            let run = |id: u64| {
                memory.get((id, 0), || {
                    made.set(made.get() + 1);
                    Ok((id, 1))
                })
            };
            // Something else was here before, and goes.
            for id in 20..24 {
                run(id)?;
            }
            for pass in 0..4 {
                made.set(0);
                order.iter().try_for_each(|id| run(*id).map(drop))?;
                assert!(pass == 0 || made.get() <= most, "pass {pass} of {} layers: {} made", order.len(), made.get());
                assert!(memory.used() <= 4);
            }
        }
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
