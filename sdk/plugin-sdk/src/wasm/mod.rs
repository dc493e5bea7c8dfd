//! The component half.
