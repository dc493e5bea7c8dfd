//! Sentences of a caption, and quotations that nothing may touch.

/// Stands for a quotation: the first of the private characters of Unicode.
const FIRST: u32 = 0xE000;
const MOST: usize = 0x1000;

/// A text whose quotations are single characters.
pub(crate) struct Masked {
    pub(crate) text: String,
    quoted: Vec<String>,
}

/// Is this character a quotation?
pub(crate) fn is_quote(c: char) -> bool {
    (FIRST..FIRST + MOST as u32).contains(&(c as u32))
}

impl Masked {
    pub(crate) fn new(text: &str) -> Self {
        let (mut out, mut quoted) = (String::new(), Vec::new());
        let mut rest = text;
        while let Some(at) = rest.find(['"', '“', '«', '„']) {
            let open = rest[at..].chars().next().unwrap_or('"');
            let close: &[char] = match open {
                '“' => &['”'],
                '«' => &['»'],
                '„' => &['“', '”'],
                _ => &['"'],
            };
            let inside = at + open.len_utf8();
            let Some(end) = rest[inside..].find(close) else { break };
            let end = inside + end;
            let end = end + rest[end..].chars().next().map_or(0, char::len_utf8);
            let Some(mark) = char::from_u32(FIRST + quoted.len() as u32).filter(|_| quoted.len() < MOST) else { break };
            out.push_str(&rest[..at]);
            out.push(mark);
            quoted.push(rest[at..end].to_owned());
            rest = &rest[end..];
        }
        out.push_str(rest);
        Self { text: out, quoted }
    }

    /// The text with its quotations.
    pub(crate) fn restore(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match (c as u32).checked_sub(FIRST).and_then(|i| self.quoted.get(i as usize)) {
                Some(quoted) => out.push_str(quoted),
                None => out.push(c),
            }
        }
        out
    }

    /// Does the quotation end a sentence by itself?
    fn ends(&self, c: char) -> bool {
        let quoted = (c as u32).checked_sub(FIRST).and_then(|i| self.quoted.get(i as usize));
        quoted.is_some_and(|q| q.trim_end_matches(['"', '”', '»', '“']).ends_with(['.', '!', '?']))
    }

    /// The sentences, each with its end mark and without blanks around it.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let chars: Vec<(usize, char)> = self.text.char_indices().collect();
        let (mut out, mut from) = (Vec::new(), 0);
        for (i, &(at, c)) in chars.iter().enumerate() {
            let ends = ['.', '!', '?', '…'].contains(&c) || self.ends(c);
            let blank = chars.get(i + 1).is_some_and(|(_, c)| c.is_whitespace());
            let next = chars[i + 1..].iter().map(|(_, c)| *c).find(|c| !c.is_whitespace());
            let begins = next.is_none_or(|n| n.is_uppercase() || n.is_ascii_digit() || is_quote(n) || n == '(');
            if ends && blank && begins && !(c == '.' && abbreviated(&self.text[from..at])) {
                out.push(self.text[from..at + c.len_utf8()].trim().to_owned());
                from = at + c.len_utf8();
            }
        }
        let last = self.text[from..].trim();
        if !last.is_empty() {
            out.push(last.to_owned());
        }
        out.retain(|s| !s.is_empty());
        out
    }
}

/// Does a full stop after this text only shorten its last word?
fn abbreviated(before: &str) -> bool {
    const SHORT: [&str; 15] =
        ["mr", "mrs", "ms", "dr", "prof", "st", "vs", "etc", "e.g", "i.e", "no", "vol", "fig", "ca", "approx"];
    let last = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    let initial = last.chars().count() == 1 && last.chars().all(char::is_uppercase) && last != "I";
    initial || SHORT.contains(&last.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        let masked = Masked::new(text);
        masked.sentences().iter().map(|s| masked.restore(s)).collect()
    }

    #[test]
    fn sentences_end_where_readers_end_them() {
        for (text, parts) in [
            ("A hat. A cat!  Why? ", vec!["A hat.", "A cat!", "Why?"]),
            ("Mr. Smith is 1.5 m tall. He", vec!["Mr. Smith is 1.5 m tall.", "He"]),
            ("J. R. Hartley sits", vec!["J. R. Hartley sits"]),
            ("A sign says \"Stop. Now.\" A man stops.", vec!["A sign says \"Stop. Now.\"", "A man stops."]),
            ("He says “no. no” and goes.", vec!["He says “no. no” and goes."]),
            ("no full stop", vec!["no full stop"]),
            ("5\" wide. A hat.", vec!["5\" wide.", "A hat."]),
            ("", vec![]),
        ] {
            assert_eq!(split(text), parts, "{text}");
        }
    }

    #[test]
    fn quotations_come_back_as_they_were() {
        for text in ["a \"b\" „c“ «d» “e” f", "\"\"", "\u{e000}", "one \" alone", "“open"] {
            let masked = Masked::new(text);
            assert_eq!(masked.restore(&masked.text), text);
        }
    }
}
