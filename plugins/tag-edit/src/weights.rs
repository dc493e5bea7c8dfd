//! Weights that prompts give their tags, `(hat:1.2)`, and HTML's ways to write signs, `&#039;`.

use booru::names::key;
use plugin_sdk::Tag;
use std::collections::BTreeMap;

/// The weights of one picture's tags, by the tags' keys.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Weights(BTreeMap<String, String>);

impl Weights {
    /// Takes the weights off, so that rules see plain names. A bracket may hold several tags: `(hat, coat:1.2)`.
    pub(crate) fn take(tags: &mut [Tag]) -> Self {
        let mut weights = BTreeMap::new();
        let mut open = None;
        for at in 0..tags.len() {
            let name = tags[at].name.trim();
            if name.starts_with('(') && !name.contains(')') && !name.starts_with("(:") {
                open = Some(at);
            }
            let Some(weight) = weight(name).map(str::to_owned) else { continue };
            let first = if name.starts_with('(') { Some(at) } else { open };
            // A bracket that nobody opened is part of a name.
            let Some(first) = first else { continue };
            open = None;
            for (i, tag) in tags.iter_mut().enumerate().take(at + 1).skip(first) {
                let mut plain = tag.name.trim();
                if i == first {
                    plain = plain.strip_prefix('(').unwrap_or(plain);
                }
                if i == at {
                    plain = plain.rsplit_once(':').map_or(plain, |(name, _)| name);
                }
                tag.name = plain.trim().to_owned();
                weights.insert(key(&tag.name), weight.clone());
            }
        }
        Self(weights)
    }

    /// Puts them on again. A tag that was renamed has none any more.
    pub(crate) fn give(&self, tags: &mut [Tag]) {
        for tag in tags.iter_mut().filter(|_| !self.0.is_empty()) {
            if let Some(weight) = self.0.get(&key(&tag.name)) {
                tag.name = format!("({}:{weight})", tag.name);
            }
        }
    }
}

/// The number in `…:1.2)`.
fn weight(name: &str) -> Option<&str> {
    let (before, number) = name.strip_suffix(')')?.rsplit_once(':')?;
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let named = !before.trim_matches(['(', ' ']).is_empty();
    (plain && named && number.parse::<f64>().is_ok()).then_some(number)
}

/// The text with signs instead of `&amp;`, `&#039;`, `&#x27;` and their like; others stay as they are. Once: `&amp;lt;` is
/// the text `&lt;`.
pub(crate) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|b| b == b';');
        match end.and_then(|end| Some((sign(&rest[1..end])?, end))) {
            Some((sign, end)) => {
                out.push(sign);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

fn sign(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?).filter(|c| !c.is_control());
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "hellip" => '…',
        "hearts" => '♥',
        "eacute" => 'é',
        "times" => '×',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Vec<Tag> {
        booru::names::list(text).map(|name| Tag { name: name.to_owned(), ..Tag::default() }).collect()
    }

    fn names(tags: &[Tag]) -> String {
        tags.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn weights_come_off_and_on_again() {
        for (text, plain, again) in [
            ("a, (long_hair:1.2), b", "a, long_hair, b", "a, (long_hair:1.2), b"),
            ("(hat, red coat:0.8), c", "hat, red coat, c", "(hat:0.8), (red coat:0.8), c"),
            (
                "saber (fate), x:3, (o)_(o), (:3)",
                "saber (fate), x:3, (o)_(o), (:3)",
                "saber (fate), x:3, (o)_(o), (:3)",
            ),
            ("time 1:20), a", "time 1:20), a", "time 1:20), a"),
            ("(saber (fate):1.1)", "saber (fate)", "(saber (fate):1.1)"),
        ] {
            let mut all = tags(text);
            let weights = Weights::take(&mut all);
            assert_eq!(names(&all), plain);
            weights.give(&mut all);
            assert_eq!(names(&all), again);
        }
    }

    #[test]
    fn entities_become_signs_once() {
        for (text, plain) in [
            ("d&#039;arc &amp; &gt;_&lt;", "d'arc & >_<"),
            ("&amp;lt;", "&lt;"),
            ("a & b; &nosuch; &#x41; &#0; &", "a & b; &nosuch; A &#0; &"),
            ("&ü;&amp", "&ü;&amp"),
        ] {
            assert_eq!(unescaped(text), plain);
        }
    }
}
