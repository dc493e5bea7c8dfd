//! `multipart/form-data`, from a body that is in memory.

/// One field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
    pub(crate) bytes: &'a [u8],
}

impl Part<'_> {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes).trim().to_owned()
    }
}

/// The fields of a form, given its `content-type`. None if it is no form, or is cut off.
pub(crate) fn parts<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<Part<'a>>> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary").filter(|b| !b.is_empty() && b.len() <= 200)?;
    let (first, between) = (format!("--{boundary}"), format!("\r\n--{boundary}"));
    let mut rest = &body[find(body, first.as_bytes())? + first.len()..];
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.strip_prefix(b"\r\n")?;
        let end = find(rest, between.as_bytes())?;
        let part = &rest[..end];
        let (head, bytes) = match find(part, b"\r\n\r\n") {
            Some(at) => (&part[..at], &part[at + 4..]),
            None => return None,
        };
        let head = String::from_utf8_lossy(head);
        let described = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.to_owned())
        })?;
        let name = parameter(&described, "name")?;
        parts.push(Part { name, filename: parameter(&described, "filename"), bytes });
        rest = &rest[end + between.len()..];
        if parts.len() > 1000 {
            return None;
        }
    }
    Some(parts)
}

/// `name="value"` or `name=value` among parameters between semicolons. Browsers write `%22` for quotes in names.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (key, value) = rest.split_once('=')?;
        // What stands before a semicolon without `=` is the disposition itself.
        let key = key.rsplit(';').next().unwrap_or(key).trim();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let mut end = 0;
                let bytes = quoted.as_bytes();
                while end < bytes.len() && bytes[end] != b'"' {
                    end += 1 + usize::from(bytes[end] == b'\\');
                }
                let end = end.min(bytes.len());
                if !quoted.is_char_boundary(end) {
                    return None;
                }
                (quoted[..end].replace("\\\"", "\"").replace("%22", "\""), quoted.get(end + 1..).unwrap_or(""))
            }
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), &value[end..])
            }
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack.get(from..)?.iter().position(|b| *b == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--X\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\\\"; b.png\"\r\n\
        Content-Type: image/png\r\n\r\n\r\n--\r\nbytes\r\n--X\r\ncontent-disposition: form-data; name=type\r\n\r\n\
        input\r\n--X--\r\n";

    #[test]
    fn fields_and_files_are_read() {
        let read = parts("multipart/form-data; charset=x; boundary=\"X\"", BODY.as_bytes()).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].name.as_str(), read[0].filename.as_deref()), ("image", Some("a\"; b.png")));
        assert_eq!(read[0].bytes, b"\r\n--\r\nbytes");
        assert_eq!((read[1].name.as_str(), read[1].text()), ("type", "input".to_owned()));
    }

    #[test]
    fn what_is_cut_off_is_no_form() {
        for end in 0..BODY.len() - 4 {
            assert_eq!(parts("multipart/form-data; boundary=X", &BODY.as_bytes()[..end]), None, "{end}");
        }
        assert_eq!(parts("application/json", BODY.as_bytes()), None);
        assert_eq!(parts("multipart/form-data", BODY.as_bytes()), None);
    }
}
