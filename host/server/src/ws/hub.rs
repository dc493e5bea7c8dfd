//! Connected clients and their outboxes.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// One message. What supersedes an older one of the same key that still waits takes its place.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Text(Arc<str>),
    /// For clients without and with the wish for metadata.
    Preview {
        key: Arc<str>,
        plain: Arc<[u8]>,
        full: Arc<[u8]>,
    },
    Binary(Arc<[u8]>),
    /// A state of which only the newest matters.
    Latest {
        key: Arc<str>,
        text: Arc<str>,
    },
}

impl Frame {
    fn key(&self) -> Option<&Arc<str>> {
        match self {
            Self::Preview { key, .. } | Self::Latest { key, .. } => Some(key),
            _ => None,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Latest { text, .. } => text.len(),
            Self::Preview { full, .. } => full.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// A client that reads more slowly than this allows is let go; it may come again and ask for the state.
const MAX_WAITING_BYTES: usize = 64 << 20;
const MAX_WAITING: usize = 20_000;

/// One connection.
pub(crate) struct Client {
    pub(crate) id: String,
    outbox: Mutex<Outbox>,
    changed: Notify,
    /// Does it read previews with metadata?
    pub(crate) metadata: AtomicBool,
}

#[derive(Default)]
struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
    closed: bool,
}

impl Client {
    fn push(&self, frame: Frame) {
        let mut outbox = self.outbox.lock();
        if outbox.closed {
            return;
        }
        if let Some(key) = frame.key()
            && let Some(at) = outbox.frames.iter().rposition(|f| f.key() == Some(key))
        {
            // Only what stands last may be replaced: nothing may overtake what came between.
            if at + 1 == outbox.frames.len() || matches!(frame, Frame::Preview { .. }) {
                outbox.bytes = outbox.bytes - outbox.frames[at].len() + frame.len();
                outbox.frames[at] = frame;
                return;
            }
        }
        outbox.bytes += frame.len();
        outbox.frames.push_back(frame);
        if outbox.bytes > MAX_WAITING_BYTES || outbox.frames.len() > MAX_WAITING {
            tracing::warn!(client = %self.id, "the client reads too slowly and is let go");
            *outbox = Outbox { closed: true, ..Outbox::default() };
        }
        drop(outbox);
        self.changed.notify_one();
    }

    /// Waits for the next frame; none if the connection is to end.
    pub(crate) async fn next(&self) -> Option<Frame> {
        loop {
            {
                let mut outbox = self.outbox.lock();
                if let Some(frame) = outbox.frames.pop_front() {
                    outbox.bytes -= frame.len();
                    return Some(frame);
                }
                if outbox.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    fn close(&self) {
        self.outbox.lock().closed = true;
        self.changed.notify_one();
    }

    /// Does the client read previews with metadata?
    pub(crate) fn takes_metadata(&self) -> bool {
        self.metadata.load(Ordering::Relaxed)
    }
}

/// All clients by id.
#[derive(Default)]
pub(crate) struct Hub {
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

impl Hub {
    /// A connection under this id; an older one of the same id ends.
    pub(crate) fn join(&self, id: &str) -> Arc<Client> {
        let client = Arc::new(Client {
            id: id.to_owned(),
            outbox: Mutex::default(),
            changed: Notify::new(),
            metadata: AtomicBool::new(false),
        });
        if let Some(old) = self.clients.lock().insert(id.to_owned(), client.clone()) {
            old.close();
        }
        client
    }

    /// The connection is over; one that took its place stays.
    pub(crate) fn leave(&self, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        if clients.get(&client.id).is_some_and(|c| Arc::ptr_eq(c, client)) {
            clients.remove(&client.id);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.clients.lock().len()
    }

    /// To one client, if it is there; without an id to nobody.
    pub(crate) fn send(&self, id: Option<&str>, frame: Frame) {
        let client = id.and_then(|id| self.clients.lock().get(id).cloned());
        if let Some(client) = client {
            client.push(frame);
        }
    }

    pub(crate) fn broadcast(&self, frame: &Frame) {
        let clients: Vec<_> = self.clients.lock().values().cloned().collect();
        clients.iter().for_each(|c| c.push(frame.clone()));
    }

    /// Ends all connections, after what waits has been sent.
    pub(crate) fn close_all(&self) {
        let clients: Vec<_> = self.clients.lock().drain().map(|(_, c)| c).collect();
        clients.iter().for_each(|c| c.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latest(text: &str) -> Frame {
        Frame::Latest { key: "k".into(), text: text.into() }
    }

    fn read(client: &Client) -> Vec<String> {
        let mut outbox = client.outbox.lock();
        std::iter::from_fn(|| outbox.frames.pop_front())
            .map(|f| match f {
                Frame::Text(t) | Frame::Latest { text: t, .. } => t.to_string(),
                _ => "binary".into(),
            })
            .collect()
    }

    #[test]
    fn only_the_newest_state_waits_and_nothing_is_overtaken() {
        let hub = Hub::default();
        let client = hub.join("a");
        for frame in [latest("1"), latest("2"), Frame::Text("x".into()), latest("3"), latest("4")] {
            hub.send(Some("a"), frame);
        }
        hub.send(Some("b"), latest("5"));
        hub.send(None, latest("6"));
        assert_eq!(read(&client), ["2", "x", "4"]);
    }

    #[test]
    fn a_client_that_does_not_read_is_let_go() {
        let hub = Hub::default();
        let client = hub.join("a");
        for _ in 0..=MAX_WAITING {
            hub.broadcast(&Frame::Text("x".into()));
        }
        assert!(client.outbox.lock().closed);
        assert_eq!(client.outbox.lock().bytes, 0);
    }

    #[test]
    fn a_new_connection_takes_the_place_of_the_old_one() {
        let hub = Hub::default();
        let (old, new) = (hub.join("a"), hub.join("a"));
        assert!(old.outbox.lock().closed);
        hub.leave(&old);
        assert_eq!(hub.count(), 1);
        hub.leave(&new);
        assert_eq!(hub.count(), 0);
    }
}
