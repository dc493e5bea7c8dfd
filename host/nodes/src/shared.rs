//! What all graphs of a process share: loaded models, and the memory that they may take.

use models::Memory;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// Loaded models, for as long as somebody uses them, and the budget of their working copies. Clones are the same.
#[derive(Clone, Default)]
pub struct Shared {
    /// The budget of working copies of weights.
    pub memory: Memory,
    loaded: Arc<Mutex<HashMap<String, Weak<dyn Any + Send + Sync>>>>,
    /// The card that a graph of this process computes on, once one does.
    pub(crate) card: Arc<OnceLock<candle_core::Device>>,
}

impl Shared {
    /// Nothing loaded yet, and this many bytes for working copies of weights.
    pub fn with_budget(bytes: usize) -> Self {
        Self { memory: Memory::new(bytes), ..Self::default() }
    }

    /// Nothing loaded yet, and another budget; the card stays known to those who were told of it.
    #[must_use]
    pub fn limited(&self, bytes: usize) -> Self {
        Self { card: self.card.clone(), ..Self::with_budget(bytes) }
    }

    /// The same for a card that computes.
    pub(crate) fn on(&self, card: &candle_core::Device) -> Self {
        let _ = self.card.set(card.clone());
        Self { memory: self.memory.on(card), ..self.clone() }
    }

    /// What was kept under this key, if it is still in use.
    pub(crate) fn find<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.get(key)?.upgrade()?.downcast().ok()
    }

    /// Remembers a value while it is in use.
    pub(crate) fn keep<T: Any + Send + Sync>(&self, key: &str, value: &Arc<T>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, value| value.strong_count() > 0);
        let value: Arc<dyn Any + Send + Sync> = value.clone();
        loaded.insert(key.to_owned(), Arc::downgrade(&value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_budget_keeps_the_card() {
        let (shared, card) = (Shared::with_budget(5), candle_core::Device::Cpu);
        let limited = shared.limited(7);
        assert!(shared.card.get().is_none());
        limited.on(&card);
        assert!(shared.card.get().is_some_and(|known| known.same_device(&card)));
    }

    #[test]
    fn values_are_shared_while_they_are_in_use() {
        let shared = Shared::default();
        let five = Arc::new(5u32);
        shared.keep("five", &five);
        let found = shared.clone().find::<u32>("five").unwrap();
        assert!(Arc::ptr_eq(&five, &found));
        assert!(shared.find::<u64>("five").is_none() && shared.find::<u32>("six").is_none());
        drop((five, found));
        assert!(shared.find::<u32>("five").is_none());
    }
}
