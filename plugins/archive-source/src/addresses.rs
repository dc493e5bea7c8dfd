//! Lists of addresses: one a line, a tab and the caption behind it if there is one. `#` begins a comment.

use std::collections::BTreeSet;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) caption: Option<String>,
}

/// # Errors
/// Every line that is no address, or is there twice.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Address>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("expected a list in UTF-8 ({e})"))?;
    let (mut out, mut faults, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (url, caption) =
            line.split_once('\t').map_or((line, None), |(url, caption)| (url.trim(), Some(caption.trim())));
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if rest.is_none_or(str::is_empty) || url.contains(char::is_whitespace) {
            faults.push(format!("line {}: expected an address with http:// or https://, found `{url}`", at + 1));
        } else if !seen.insert(url) {
            faults.push(format!("line {}: `{url}` for the second time", at + 1));
        } else {
            let caption = caption.filter(|c| !c.is_empty()).map(str::to_owned);
            out.push(Address { url: url.to_owned(), caption });
        }
    }
    if faults.is_empty() && out.is_empty() {
        faults.push("the list has no addresses".to_owned());
    }
    if faults.is_empty() { Ok(out) } else { Err(crate::shown(&faults)) }
}
