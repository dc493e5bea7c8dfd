//! What handles and enums have in common.

/// A number that the host gave out, given back once.
macro_rules! owned_handle {
    ($name:ident, $drop:ident) => {
        impl $name {
            /// Takes over a handle that the host gave out.
            #[doc(hidden)]
            pub fn from_raw(handle: u64) -> Self {
                Self(handle)
            }

            /// The handle, still owned by this object.
            #[doc(hidden)]
            pub fn raw(&self) -> u64 {
                self.0
            }

            /// Gives the handle away without dropping it.
            #[doc(hidden)]
            pub fn into_raw(self) -> u64 {
                std::mem::ManuallyDrop::new(self).0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                $crate::host::with_host(|h| h.$drop(self.0));
            }
        }
    };
}

/// An enum whose codes in the C tables are the positions in the WIT.
macro_rules! coded_enum {
    ($(#[$meta:meta])* $name:ident { $($case:ident),+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(missing_docs)]
        pub enum $name { $($case),+ }

        impl $name {
            /// All of them, in the order of the WIT.
            pub const ALL: &[Self] = &[$(Self::$case),+];

            /// Its number in the C tables.
            pub fn code(self) -> u32 {
                self as u32
            }

            /// The one with this number.
            pub fn from_code(code: u32) -> Option<Self> {
                Self::ALL.get(code as usize).copied()
            }
        }
    };
}
