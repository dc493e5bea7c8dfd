//! One WebSocket connection, from the handshake to its end.

use super::hub::{Client, Frame};
use crate::app::App;
use crate::http::{Head, Response, Shutdown, Wire};
use crate::ids::new_id;
use crate::run::messages;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// What clients send is small.
const MAX_MESSAGE: usize = 1 << 20;
/// How often a silent connection is asked whether it is still there.
const PING: Duration = Duration::from_secs(30);
const SEND: Duration = Duration::from_secs(60);

/// Answers the handshake and talks until one side has enough.
pub(crate) async fn talk<S>(mut wire: Wire<S>, head: Head, app: Arc<App>, mut shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let response = match accept(&head) {
        Ok(response) => response,
        Err(refusal) => {
            let _ = wire.write(refusal, false, true).await;
            return wire.end().await;
        }
    };
    if wire.write(response, false, false).await.is_err() {
        return;
    }
    let (stream, ahead) = wire.into_parts();
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let socket = WebSocketStream::from_partially_read(stream, ahead, Role::Server, Some(config)).await;
    let id = match head.query("clientId") {
        Some(id) if !id.is_empty() && id.len() <= 200 => id.to_owned(),
        _ => new_id(),
    };
    let client = app.hub.join(&id);
    greet(&app, &client);
    let (sink, stream) = socket.split();
    tokio::select! {
        () = send(sink, &client) => {}
        () = receive(stream, &app, &client) => {}
        () = async { shutdown.wait().await; tokio::time::sleep(Duration::from_millis(300)).await } => {}
    }
    app.hub.leave(&client);
}

fn accept(head: &Head) -> Result<Response, Response> {
    let bad = |why: &str| Response::text(400, why.to_owned());
    let lists = |name: &str, word: &str| {
        head.headers(name).flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(word))
    };
    if head.method != "GET" || !lists("upgrade", "websocket") || !lists("connection", "upgrade") {
        return Err(bad("expected a WebSocket handshake"));
    }
    if head.header("sec-websocket-version") != Some("13") {
        return Err(bad("the WebSocket version is not 13").with("sec-websocket-version", "13"));
    }
    let key =
        head.header("sec-websocket-key").filter(|k| k.len() == 24).ok_or_else(|| bad("the handshake has no key"))?;
    Ok(Response::empty(101)
        .with("upgrade", "websocket")
        .with("connection", "Upgrade")
        .with("sec-websocket-accept", derive_accept_key(key.as_bytes())))
}

/// The first message, and to a client that comes back while its job runs, where that is.
fn greet(app: &App, client: &Arc<Client>) {
    let status = messages::status(app.jobs.remaining(), Some(&client.id));
    app.hub.send(Some(&client.id), Frame::Text(status.into()));
    for message in app.running.resume_for(&client.id) {
        app.hub.send(Some(&client.id), Frame::Text(message.into()));
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(mut sink: SplitSink<WebSocketStream<S>, Message>, client: &Client) {
    loop {
        let message = match timeout(PING, client.next()).await {
            Err(_) => Message::Ping(Vec::new().into()),
            Ok(None) => {
                let _ = timeout(SEND, sink.close()).await;
                return;
            }
            Ok(Some(Frame::Text(text) | Frame::Latest { text, .. })) => Message::Text((&*text).into()),
            Ok(Some(Frame::Binary(bytes))) => Message::Binary(bytes.to_vec().into()),
            Ok(Some(Frame::Preview { plain, full, .. })) => {
                let bytes = if client.takes_metadata() { full } else { plain };
                Message::Binary(bytes.to_vec().into())
            }
        };
        if !matches!(timeout(SEND, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: SplitStream<WebSocketStream<S>>,
    app: &App,
    client: &Arc<Client>,
) {
    // Pings are answered by the library; whoever is gone is noticed when sending.
    let mut first = true;
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let Ok(value) = serde_json::from_str::<Value>(&text) else { continue };
        if first && value["type"] == "feature_flags" {
            client.metadata.store(value["data"]["supports_preview_metadata"] == true, Ordering::Relaxed);
            let answer = json!({ "type": "feature_flags", "data": app.features() });
            app.hub.send(Some(&client.id), Frame::Text(answer.to_string().into()));
        }
        first = false;
    }
}
