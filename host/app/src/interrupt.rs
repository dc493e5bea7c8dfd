//! Ctrl-C: once stops at the next step, twice ends the program.

use crate::exit::Exit;
use engine::CancelToken;

/// Listens on a thread of its own for the rest of the program's life. SIGTERM counts as Ctrl-C.
pub(crate) fn cancel_on_ctrl_c(cancel: CancelToken) {
    let listen = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            loop {
                if wait().await.is_err() {
                    return;
                }
                if cancel.is_cancelled() {
                    std::process::exit(i32::from(Exit::Aborted.code()));
                }
                eprintln!("\nstopping after this step; Ctrl-C again ends at once");
                cancel.cancel();
            }
        });
    };
    // Without the thread, Ctrl-C ends the program at once; what is stored is whole in any case.
    if let Err(error) = std::thread::Builder::new().name("signals".into()).spawn(listen) {
        tracing::warn!("Ctrl-C will not stop gracefully: {error}");
    }
}

#[cfg(unix)]
pub(crate) async fn wait() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
pub(crate) async fn wait() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
