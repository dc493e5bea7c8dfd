//! HTTP/1.1 over any stream: reading requests, writing responses. Knows no route.
//!
//! Our own, because it is small: every request is read whole (bounded by its route), nothing is upgraded but `/ws`.

mod connection;
mod date;
mod head;
mod listen;
mod multipart;
mod request;
mod response;

pub(crate) use connection::{Incoming, Wire};
pub(crate) use date::http_date;
pub(crate) use listen::{Listener, Shutdown, bind, tls};
pub(crate) use multipart::{Part, parts};
pub(crate) use request::{Head, Request, decode, decode_plus};
pub(crate) use response::{Body, Reply, Response};
