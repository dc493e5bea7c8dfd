//! Listening, and what happens to each request.

use crate::app::App;
use crate::config::Config;
use crate::host::Host;
use crate::http::{self, Head, Listener, Request, Response, Shutdown, Wire};
use crate::jobs::Jobs;
use crate::routes::{self, Call, Route, Work};
use crate::{run, ws};
use anyhow::Context as _;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 4096;
/// How long a picture that was only shown stays.
const KEEP_SHOWN: Duration = Duration::from_secs(14 * 86_400);
const HANDSHAKE: Duration = Duration::from_secs(20);
/// How long a shutdown waits for answers that are under way.
const GRACE: Duration = Duration::from_secs(3);
/// How long a running job has to reach its next step.
const JOB_GRACE: Duration = Duration::from_secs(30);

/// Serves until `stop` is ready. `ready` hears the addresses once the server answers.
///
/// # Errors
/// An address, a folder, the certificate or the file of jobs cannot be used.
pub async fn serve(
    config: Config,
    host: Arc<dyn Host>,
    ready: impl FnOnce(&[SocketAddr]),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    for folder in [&config.output_dir, &config.input_dir, &config.temp_dir, &config.user_dir] {
        std::fs::create_dir_all(folder).with_context(|| format!("folder {} cannot be made", folder.display()))?;
    }
    let _lock = lock(&config)?;
    let jobs = Jobs::open(&config.user_dir.join("anagama-jobs.db"), config.policy)?;
    let (again, given_up) = jobs.recover()?;
    let acceptor = config.tls.as_ref().map(|(certificate, key)| http::tls(certificate, key)).transpose()?;
    let listeners = http::bind(&config.listen).await?;
    let app = Arc::new(App::new(config, host, jobs)?);
    for id in &again {
        app.logs.say(engine::Level::Info, None, &format!("job {id} was running when the server ended; it goes on"));
    }
    for id in &given_up {
        app.logs.say(engine::Level::Warn, None, &format!("job {id} ended the server too often and is given up"));
    }
    let temp = app.config.temp_dir.clone();
    tokio::task::spawn_blocking(move || clear_old(&temp));
    let runner = run::start(app.clone()).context("no thread for jobs")?;
    let (announce, shutdown) = Shutdown::new();
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let addresses: Vec<SocketAddr> = listeners.iter().map(|l| l.address).collect();
    for listener in listeners {
        let accepting = accept(listener, acceptor.clone(), app.clone(), connections.clone(), shutdown.clone());
        tokio::spawn(accepting);
    }
    ready(&addresses);
    stop.await;
    tracing::info!("stopping");
    app.runner.end();
    app.running.interrupt(None);
    let _ = announce.send(true);
    let end = async {
        while connections.available_permits() < MAX_CONNECTIONS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let job = tokio::task::spawn_blocking(move || runner.join());
    if tokio::time::timeout(JOB_GRACE, job).await.is_err() {
        tracing::warn!("the running job did not stop; it goes on with the next start");
    }
    app.hub.close_all();
    let _ = tokio::time::timeout(GRACE, end).await;
    Ok(())
}

/// Pictures that were only shown stay for a while, because the history names them.
fn clear_old(temp: &Path) {
    for entry in std::fs::read_dir(temp).into_iter().flatten().flatten() {
        let old = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if old().is_some_and(|age| age > KEEP_SHOWN) && entry.path().is_file() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Two servers on one file of jobs would run them twice.
fn lock(config: &Config) -> anyhow::Result<std::fs::File> {
    let path = config.user_dir.join("anagama.lock");
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            anyhow::bail!("another server uses {}; choose another --user-directory", config.user_dir.display())
        }
        Err(std::fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("{}", path.display())),
    }
}

async fn accept(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    app: Arc<App>,
    connections: Arc<Semaphore>,
    mut shutdown: Shutdown,
) {
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = shutdown.wait() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file handles, most likely: some will come free.
                tracing::warn!("a connection could not be taken: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (tls, app, shutdown) = (tls.clone(), app.clone(), shutdown.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, peer, false, app, shutdown).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        connection(stream, peer, true, app, shutdown).await;
                    }
                }
            }
            drop(permit);
        });
    }
}

async fn connection<S>(stream: S, peer: SocketAddr, secure: bool, app: Arc<App>, mut shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut wire = Wire::new(stream, peer);
    loop {
        let incoming = tokio::select! {
            incoming = wire.next(secure) => incoming,
            () = shutdown.wait() => return wire.end().await,
        };
        let (head, pending) = match incoming {
            http::Incoming::Ended => return,
            http::Incoming::Refused(refusal) => {
                app.metrics.request(refusal.status);
                let _ = wire.write(refusal, false, true).await;
                return wire.end().await;
            }
            http::Incoming::Request(head, pending) => (head, pending),
        };
        let mut close = wants_close(&head) || shutdown.is_now();
        let head_only = head.method == "HEAD";
        let response = match app.guard.check(&head) {
            Err(refusal) => {
                // What body there is stays unread.
                close |= !pending.is_empty();
                refusal
            }
            Ok(()) if matches!(head.path.as_str(), "/ws" | "/api/ws") => {
                return ws::talk(wire, head, app, shutdown).await;
            }
            Ok(()) => match routes::find(&head) {
                Err(refusal) => {
                    close |= !pending.is_empty();
                    refusal
                }
                Ok((route, params)) => {
                    let limit = (route.limit)(&app);
                    let room = pending.room(limit).min(crate::app::BODIES_KIB);
                    let Ok(_room) = app.bodies.acquire_many(room as u32).await else { return };
                    match wire.body(&head, pending, limit).await {
                        Ok(body) => answer(&app, route, params, Request { head: head.clone(), body }).await,
                        Err(Some(refusal)) => {
                            close = true;
                            refusal
                        }
                        Err(None) => return,
                    }
                }
            },
        };
        app.metrics.request(response.status);
        tracing::debug!(%peer, method = %head.method, path = %head.path, status = response.status, "request");
        let response = app.guard.decorate(&head, response);
        if wire.write(response, head_only, close).await.is_err() {
            return;
        }
        if close {
            return wire.end().await;
        }
    }
}

async fn answer(app: &Arc<App>, route: &'static Route, params: routes::Params, request: Request) -> Response {
    let call = Call { app: app.clone(), request, params };
    let run = move || (route.handle)(&call).unwrap_or_else(|refusal| refusal);
    match route.work {
        Work::Quick => run(),
        Work::Slow => tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| {
            tracing::error!("{} {}: {error}", route.method, route.path);
            Response::text(500, "500 Internal Server Error")
        }),
    }
}

fn wants_close(head: &Head) -> bool {
    let asks =
        |word: &str| head.headers("connection").flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(word));
    asks("close") || (head.http_1_0 && !asks("keep-alive"))
}
