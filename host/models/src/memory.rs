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
/// When the working copies take more bytes than the budget, those go first that will be needed last, as far as the times at
/// which they were asked for tell; of the others, those that were used the longest ago. So a network that is larger than
/// the budget and runs again and again, forward or forward and backward, keeps as many of its layers as fit, instead of
/// dropping each just before it comes again, and the others are made each time. The copy that an operation is computing with stays until the operation ends, whatever the budget, so that a
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
    /// When copies were asked for, kept or not, until their weight is no more.
    asked: HashMap<Key, Asked>,
}

struct Copy {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

/// When a copy was asked for, in uses.
#[derive(Clone, Copy, Default)]
struct Asked {
    last: u64,
    /// The use before that one; 0: none.
    before: u64,
    /// Uses from `before` to `last`, and from the one before to `before`; 0: not known.
    gaps: [u64; 2],
}

impl Asked {
    fn again(&mut self, now: u64) {
        let gap = if self.last > 0 { now - self.last } else { 0 };
        *self = Asked { last: now, before: self.last, gaps: [gap, self.gaps[0]] };
    }

    /// When it will be asked for next, if it comes at even gaps, or at two gaps in turn as the layers of a network that runs
    /// forward and backward do.
    fn next(&self) -> Option<u64> {
        let gap = if self.gaps[1] > 0 { self.gaps[1] } else { self.gaps[0] };
        (gap > 0).then_some(self.last + gap)
    }
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
        let state = State { budget: bytes, used: 0, clock: 0, copies: HashMap::new(), asked: HashMap::new() };
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
            state.asked.clear();
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
        if let Some(found) = state.found(key) {
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
            state.asked.remove(&(id, kind));
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
        self.asked.entry(key).or_default().again(self.clock);
        self.found(key)
    }

    fn found<T: Any + Send + Sync>(&self, key: Key) -> Option<Arc<T>> {
        self.copies.get(&key)?.value.clone().downcast().ok()
    }

    /// Keeps a copy if there is room for it, or if what is in its way will be needed later than it: gives what had to go.
    fn keep(&mut self, key: Key, value: Arc<dyn Any + Send + Sync>, bytes: usize) -> Vec<Copy> {
        let (mut going, mut free) = (Vec::new(), self.budget.saturating_sub(self.used));
        if free < bytes {
            for (other, bytes_of) in self.in_the_way(key) {
                if free >= bytes {
                    break;
                }
                free += bytes_of;
                going.push(other);
            }
        }
        if free < bytes {
            return Vec::new();
        }
        let dropped: Vec<Copy> = going.into_iter().filter_map(|key| self.copies.remove(&key)).collect();
        self.used = self.used + bytes - dropped.iter().map(|copy| copy.bytes).sum::<usize>();
        self.copies.insert(key, Copy { value, bytes });
        dropped
    }

    /// The copies that may go for this one with their bytes, first those that are missed least.
    fn in_the_way(&self, key: Key) -> Vec<(Key, usize)> {
        let of = |key: &Key| self.asked.get(key).copied().unwrap_or_default();
        let (now, own) = (self.clock, of(&key));
        // First what does not come when it was expected, then what nothing is known of, oldest first; then what comes last.
        let mut list: Vec<((u8, u64), Key, usize)> = Vec::new();
        for (other, copy) in &self.copies {
            let asked = of(other);
            let rank = match asked.next() {
                Some(next) if next < now => Some((0, asked.last)),
                // One that has never been asked for before counts as the newest.
                None => (own.before == 0 || asked.last <= own.before).then_some((1, asked.last)),
                Some(next) => own.next().is_none_or(|own| own < next).then_some((2, u64::MAX - next)),
            };
            list.extend(rank.map(|rank| (rank, *other, copy.bytes)));
        }
        list.sort_unstable();
        list.into_iter().map(|(_, key, bytes)| (key, bytes)).collect()
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
        // What is best with room for four; the first two passes tell when each layer comes again.
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
                assert!(pass < 2 || made.get() <= most, "pass {pass} of {} layers: {} made", order.len(), made.get());
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
