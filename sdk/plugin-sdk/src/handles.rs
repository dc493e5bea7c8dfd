//! Host objects that a plugin may pass on but not open.

use crate::Result;
use crate::host::with_host;
use spec::ObjectType;

/// A MODEL, CLIP, VAE, CONDITIONING …: the host's, routed by a plugin.
#[derive(Debug)]
pub struct Handle(u64);

impl Handle {
    /// The name of its type, such as `MODEL`.
    pub fn type_name(&self) -> String {
        with_host(|h| h.handle_type_name(self.0))
    }

    /// A second handle on the same object.
    ///
    /// # Errors
    /// The host's limit of handles is reached.
    pub fn share(&self) -> Result<Self> {
        with_host(|h| h.handle_share(self.0)).map(Self)
    }
}

owned_handle!(Handle, handle_drop);

impl ObjectType for Handle {
    const SOCKET: &'static str = "*";
}
