//! The WebSocket: who is connected, and what waits to be sent to whom.

mod frames;
mod hub;
mod socket;

pub(crate) use frames::{preview, text};
pub(crate) use hub::{Frame, Hub};
pub(crate) use socket::talk;
