//! A small private key-value store of this plugin, with a quota.

use crate::Result;
use crate::host::with_host;

/// The value of a key.
///
/// ```
/// use plugin_sdk::storage;
///
/// let _host = plugin_test::FakeHost::new().install();
/// storage::set("seen/1", b"x")?;
/// assert_eq!(storage::get("seen/1")?.as_deref(), Some(&b"x"[..]));
/// assert_eq!(storage::keys("seen/", None, 10)?, ["seen/1"]);
/// storage::delete("seen/1")?;
/// assert_eq!(storage::get("seen/1")?, None);
/// # Ok::<(), plugin_sdk::Error>(())
/// ```
///
/// # Errors
/// The store is damaged or not granted.
pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
    with_host(|h| h.storage_get(key))
}

/// Stores a value.
///
/// # Errors
/// The quota is used up.
pub fn set(key: &str, value: &[u8]) -> Result<()> {
    with_host(|h| h.storage_set(key, value))
}

/// Forgets a key; one that is not there is no error.
///
/// # Errors
/// The store is damaged or not granted.
pub fn delete(key: &str) -> Result<()> {
    with_host(|h| h.storage_delete(key))
}

/// The keys that start with `prefix`, sorted, at most `limit`; `after` is the last key of an earlier call.
///
/// # Errors
/// The store is damaged or not granted.
pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
    with_host(|h| h.storage_keys(prefix, after, limit))
}
