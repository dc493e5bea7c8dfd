//! Core modules become components.

use anyhow::{Context, Result};
use wit_component::ComponentEncoder;

/// A core module with its WIT in custom sections becomes a component.
///
/// # Errors
/// Bytes that are no module, or a module that does not keep to its world.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .context("cannot make a component")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modules_with_a_world_become_components() {
        let empty = b"\0asm\x01\0\0\0";
        // A module without exports and WIT is a component without them; bytes that are no module are an error.
        assert!(wrap(empty).is_ok());
        assert!(wrap(b"not wasm").is_err());
    }
}
