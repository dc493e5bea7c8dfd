//! Crashes, loops, memory and handles of components.

use super::{Home, Installed, Row, caption, limits, requests, says};
use loader::{CallContext, Limits};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
const GOES_ON: &str = "a new instance describes the other pictures";

pub(crate) fn rows() -> Vec<Row> {
    let row = |does, happens, check| Row { does, happens, after: GOES_ON, within: SOON, check };
    vec![
        row("panics", "the picture fails, with the words of the panic", || {
            let found = caption(Home::Wasm, "panic", limits(5.0));
            says(found, &["image 2 of 3 (13×2)", "crashed", "where the plugin panics"])
        }),
        row("loops without end", "stopped at the deadline of the call", || {
            says(caption(Home::Wasm, "loop", limits(0.5)), &["image 2 of 3", "took longer than the 0.5 s"])
        }),
        row("loops, asking whether it was cancelled but not listening", "stopped at the deadline", || {
            says(caption(Home::Wasm, "deaf", limits(0.5)), &["image 2 of 3", "took longer"])
        }),
        row("takes memory without end", "refused at the cap, the picture fails", || {
            says(caption(Home::Wasm, "memory", limits(10.0)), &["image 2 of 3", "the limit is 64 MiB"])
        }),
        row("recurses without end", "trapped where its stack ends", || {
            says(caption(Home::Wasm, "recursion", limits(10.0)), &["image 2 of 3", "crashed"])
        }),
        row("writes to an address that is nobody's", "trapped", || {
            says(caption(Home::Wasm, "wild-pointer", limits(5.0)), &["image 2 of 3", "crashed", "out of bounds"])
        }),
        row("keeps a million images", "refused at 10,000 handles, as an error that it sees", || {
            says(caption(Home::Wasm, "leak-images", limits(10.0)), &["image 2 of 3", "10000 handles are open"])
        }),
        row("makes the host hold ever larger images", "refused at the budget in bytes", || {
            let tight = Limits { host_bytes: 300 << 20, ..limits(20.0) };
            says(caption(Home::Wasm, "large-images", tight), &["image 2 of 3", "bytes in the host"])
        }),
        row("logs and reports without end", "lines are cut; the picture is described", || {
            super::answers(caption(Home::Wasm, "say-much", limits(20.0)), &["13 wide"])
        }),
        Row {
            does: "loops while the user cancels",
            happens: "stopped at once, as cancelled, not as broken",
            after: "the run ends",
            within: SOON,
            check: cancelled,
        },
        Row {
            does: "panics, or refuses, when it is opened",
            happens: "an error of opening, with its words",
            after: "the program goes on",
            within: SOON,
            check: opening,
        },
    ]
}

fn cancelled() -> Result<String, String> {
    let installed = Installed::new(Home::Wasm, Limits::default(), &[]);
    let cancel = Arc::new(AtomicBool::new(false));
    let (asked, pressed) = (cancel.clone(), cancel);
    let call = CallContext { cancelled: Arc::new(move || asked.load(Ordering::Relaxed)), ..CallContext::default() };
    let mut captioner = installed.plugin.open_captioner(&json!({"how": "loop"}), call).map_err(|e| e.to_string())?;
    let press = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        pressed.store(true, Ordering::Relaxed);
        Instant::now()
    });
    let error = captioner.caption(requests(&[13])).err().ok_or("it was not stopped")?;
    let waited = press.join().map_err(|_| "no key")?.elapsed();
    if error.kind != spec::ErrorKind::Cancelled || waited > Duration::from_secs(3) {
        return Err(format!("{error}, {waited:?} after the key"));
    }
    Ok(format!("{error}, {} ms after the key", waited.as_millis()))
}

fn opening() -> Result<String, String> {
    let installed = Installed::new(Home::Wasm, limits(5.0), &[]);
    let open = |how: &str| {
        let opened = installed.plugin.open_captioner(&json!({ "how": how }), CallContext::default());
        opened.err().map(|e| e.to_string()).ok_or(format!("`{how}` opened"))
    };
    let said = says(open("crash-in-open"), &["open", "where the plugin panics"])?;
    says(open("refuse-in-open"), &["open", "never opens"])?;
    let mut captioner = installed.open(&json!({}));
    captioner.caption(requests(&[1])).map_err(|e| e.to_string())?;
    Ok(said)
}
