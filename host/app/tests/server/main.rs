//! `anagama serve` over loopback, as clients see it: the program itself, HTTP and WebSocket, cheap nodes without models.
#![allow(clippy::unwrap_used)]

mod boot;
#[cfg(target_os = "linux")]
mod disk_full;
mod durable;
mod dynamic;
mod files;
#[cfg(target_os = "linux")]
mod fuzz;
mod limits;
mod plugins;
mod queue;
mod security;
mod support;
mod training;
mod websocket;
