//! Servers that behave badly, and addresses that nobody granted.

use super::server::Bad;
use super::{Home, Row, answers, caption_with, limits, says};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn rows() -> Vec<Row> {
    let after = "the plugin may go on; the other pictures are described";
    let row = |does, happens, check| Row { does, happens, after, within: SOON, check };
    vec![
        row(
            "asks a server that sends a byte a second, in the head or in the body",
            "ends at the call's deadline",
            || {
                stopped("drip")?;
                stopped("drip-head")
            },
        ),
        row("asks a server that says nothing", "the same", || stopped("silence")),
        row("gets a body without end", "cut off at the limit of a transfer", || {
            fails("endless", &["longer than 67108864 bytes"])
        }),
        row("gets headers without end, or one that is endless", "refused", || {
            fails("endless-headers", &[])?;
            fails("long-header", &[])
        }),
        row("gets fewer bytes than announced", "an error, not half an answer", || fails("lies-more", &[])),
        row("gets more bytes than announced", "only those that were announced", || {
            answers(fetch("lies-less", &granted), &["200 and 3 bytes"])
        }),
        row("is promised 90 TB, −5 bytes, or a chunk of 2⁶⁴", "an error; no room is made for promises", || {
            fails("lies-huge", &[])?;
            fails("lies-negative", &[])?;
            fails("chunk-bomb", &[])
        }),
        row("gets a packed body that would unpack to much", "handed on as it came: the host unpacks nothing", || {
            answers(fetch("packed", &granted), &["200 and 1010 bytes"])
        }),
        row("gets what is no HTTP", "an error", || fails("no-http", &[])),
        row("is sent round in circles", "an error after five redirects", || fails("round", &["more than 5 redirects"])),
        row("is redirected to an address that is not granted, or to a file", "refused, and named", || {
            fails("to-metadata", &["redirects to http://169.254.169.254/latest/meta-data", "grant"])?;
            fails("to-name", &["redirects to http://localhost", "grant"])?;
            fails("to-file", &["redirects to file:///etc/passwd"])
        }),
        Row {
            does: "asks by a granted name that leads into the local network, at once or after a redirect (DNS rebinding)",
            happens: "refused when it is looked up; the connection goes to the addresses that were checked",
            after,
            within: SOON,
            check: rebinding,
        },
        row("asks an address that is not granted", "refused; the error says which grant would allow it", || {
            says(fetch("good", &|_| Vec::new()), &["is not granted", "[grants.plugins.\"test.misbehaves\"]"])
        }),
        row("fetches a picture of 60,000×60,000 pixels", "refused before there is room made for it", || {
            let bad = Bad::start();
            let settings = json!({"how": "fetch-image", "url": bad.url("bomb.png")});
            says(
                caption_with(Home::Wasm, &settings, limits(10.0), &granted(&bad)),
                &["image 2 of 3", "3600.0 megapixels"],
            )
        }),
    ]
}

fn granted(bad: &Bad) -> Vec<String> {
    vec![bad.url("*"), format!("http://127.0.0.1:{}/*", bad.port)]
}

fn fetch(path: &str, grants: &dyn Fn(&Bad) -> Vec<String>) -> Result<String, String> {
    let bad = Bad::start();
    let settings = json!({"how": "fetch", "url": bad.url(path)});
    caption_with(Home::Wasm, &settings, limits(30.0), &grants(&bad))
}

fn fails(path: &str, words: &[&str]) -> Result<String, String> {
    let words: Vec<&str> = ["image 2 of 3"].iter().chain(words).copied().collect();
    says(fetch(path, &granted), &words)
}

/// As the deadline of the call says.
fn stopped(path: &str) -> Result<String, String> {
    let bad = Bad::start();
    let settings = json!({"how": "fetch", "url": bad.url(path)});
    let found = caption_with(Home::Wasm, &settings, limits(1.5), &granted(&bad));
    let text = says(found, &["image 2 of 3"])?;
    if text.contains("took longer than the 1.5 s") || text.to_lowercase().contains("timeout") {
        return Ok(text);
    }
    Err(format!("not about time: {text}"))
}

fn rebinding() -> Result<String, String> {
    let bad = Bad::start();
    let by_name = vec![format!("http://localhost:{}/*", bad.port), bad.url("to-name")];
    let settings = |url: String| json!({"how": "fetch", "url": url});
    let direct = settings(format!("http://localhost:{}/good", bad.port));
    let said = says(
        caption_with(Home::Wasm, &direct, limits(10.0), &by_name),
        &["image 2 of 3", "an address of the local network"],
    )?;
    if bad.asked() > 0 {
        return Err("the server was reached".into());
    }
    let round = settings(bad.url("to-name"));
    says(caption_with(Home::Wasm, &round, limits(10.0), &by_name), &["an address of the local network"])?;
    match bad.asked() {
        // Once in the batch, and once when the picture was asked about alone.
        1 | 2 => Ok(said),
        n => Err(format!("the server was reached {n} times")),
    }
}
