//! Sources that do not end, or that name what they should not.

use super::{Home, Installed, Row, limits, says};
use data::{DatasetSource, Page};
use loader::CallContext;
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn rows() -> Vec<Row> {
    let row = |does, happens, after, check| Row { does, happens, after, within: SOON, check };
    let gone = "the listing fails; asked anew, the source answers";
    vec![
        row(
            "as a source: gives the place that it was asked for as the next",
            "an error: it would never end",
            gone,
            || listing("same-cursor", 10, &["never end"]),
        ),
        row("goes in a circle of pages", "an error on the way back", gone, || {
            listing("circle", 10, &["which was there before"])
        }),
        row("gives page after page without anything new", "an error after 10,000 of them", gone, || {
            listing("repeated-ids", 20_000, &["10000 pages in a row"])?;
            listing("empty-pages", 20_000, &["10000 pages in a row"])
        }),
        row(
            "gives new pictures without end, and a total that grows",
            "**nothing: that is what a large site looks like.** The user's limit and cancelling end it",
            "as long as anyone wants",
            growing,
        ),
        row("gives a longer page than it was asked for", "refused", gone, || {
            listing("long-page", 2, &["4 items at most, and gave 5"])
        }),
        row("names an item with 5,000 bytes", "refused", gone, || {
            listing("long-id", 2, &["an id may have 4096 bytes"])
        }),
        row(
            "names items with `../`, NUL, or `gnp.exe` written backwards",
            "hidden characters are written out; whoever saves pictures takes the last part of the name and no separators",
            "the listing goes on",
            odd_ids,
        ),
        row("panics on the second page", "the page fails and is named", "asked again, the source answers", || {
            listing("panic", 5, &["the page at \"1\"", "where the source panics"])
        }),
    ]
}

fn open(how: &str) -> Result<(Installed, Box<dyn DatasetSource>), String> {
    let installed = Installed::new(Home::Wasm, limits(10.0), &[]);
    let source = installed.plugin.open_dataset_source(&json!({ "how": how }), CallContext::default());
    let source = source.map_err(|e| e.to_string())?;
    Ok((installed, source))
}

fn page(source: &mut dyn DatasetSource, from: Option<String>) -> Result<Page, String> {
    source.next_page(from, 4).map_err(|e| e.message)
}

/// Reads on until an error, which must come.
fn listing(how: &str, most: usize, words: &[&str]) -> Result<String, String> {
    let (_installed, mut source) = open(how)?;
    let mut from = None;
    for _ in 0..most {
        match page(&mut *source, from) {
            Ok(page) => from = page.next,
            Err(error) => {
                if how != "long-page" && how != "long-id" {
                    page(&mut *source, None).map_err(|e| format!("asked anew: {e}"))?;
                }
                return says(Ok(error), words);
            }
        }
        if from.is_none() {
            return Err("the listing ended".into());
        }
    }
    Err(format!("no error on {most} pages"))
}

fn growing() -> Result<String, String> {
    let (_installed, mut source) = open("growing")?;
    let mut from = None;
    for n in 0..300_u64 {
        let page = page(&mut *source, from)?;
        if page.items[0].id != n.to_string() {
            return Err(format!("{page:?}"));
        }
        from = page.next;
    }
    Ok("300 pages, and no end".into())
}

fn odd_ids() -> Result<String, String> {
    let (_installed, mut source) = open("odd-ids")?;
    let ids: Vec<String> = page(&mut *source, None)?.items.into_iter().map(|i| i.id).collect();
    if ids != ["../../etc/passwd\\u{0}.png", "cute\\u{202e}gnp.exe"] {
        return Err(format!("{ids:?}"));
    }
    Ok(format!("{ids:?}"))
}
