//! `<lora:name:strength>` in prompts, as A1111's web UI writes it.

use anyhow::{Context as _, Result, bail};

/// One `<lora:…>` of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LoraTag {
    pub(super) name: String,
    pub(super) strength_model: f64,
    /// The same as for the model, unless a third number says otherwise.
    pub(super) strength_clip: f64,
}

/// Takes the tags out of a prompt: the rest of the text, and the LoRAs in order.
///
/// Anything else of the form `<a:b>` is an error: `<name:1.0>` without `lora:` would do nothing, unseen.
pub(super) fn extract(prompt: &str) -> Result<(String, Vec<LoraTag>)> {
    let (mut text, mut tags) = (String::new(), Vec::new());
    let mut rest = prompt;
    while let Some((before, inner, after)) = next_tag(rest) {
        text.push_str(before);
        tags.push(parse(inner)?);
        rest = after;
    }
    text.push_str(rest);
    Ok((tidy(&text, !tags.is_empty()), tags))
}

/// For nodes that only read the text.
pub(crate) fn refuse_tags(prompt: &str) -> Result<()> {
    let Some((_, inner, _)) = next_tag(prompt) else { return Ok(()) };
    let tag = parse(inner)?;
    bail!("`<{inner}>`: this node does not load LoRAs; use the node `LoraPrompt`, or `LoraLoader` with `{}`", tag.name)
}

/// The first `<…:…>`: (text before, inside, text after). Other angle brackets are text.
fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let open = from + text[from..].find('<')?;
        let close = open + text[open..].find('>')?;
        // The innermost opening bracket belongs to the closing one.
        let open = text[..close].rfind('<').unwrap_or(open);
        let inner = &text[open + 1..close];
        if inner.contains(':') {
            return Some((&text[..open], inner, &text[close + 1..]));
        }
        from = close + 1;
    }
}

fn parse(inner: &str) -> Result<LoraTag> {
    let mut fields = inner.split(':').map(str::trim);
    let kind = fields.next().unwrap_or_default();
    if kind != "lora" {
        bail!("`<{inner}>`: unknown kind of tag `{kind}`; a LoRA is written `<lora:name:1.0>`");
    }
    let name = fields.next().filter(|n| !n.is_empty()).with_context(|| format!("`<{inner}>`: no name"))?;
    let mut number = |default: f64| match fields.next() {
        None => Ok(default),
        Some(n) => n
            .parse::<f64>()
            .ok()
            .filter(|n| n.is_finite() && n.abs() <= 100.0)
            .with_context(|| format!("`<{inner}>`: expected a strength from -100 to 100, found `{n}`")),
    };
    let strength_model = number(1.0)?;
    let strength_clip = number(strength_model)?;
    if fields.next().is_some() {
        bail!("`<{inner}>`: expected at most two strengths, `<lora:name:model:text>`");
    }
    Ok(LoraTag { name: name.to_owned(), strength_model, strength_clip })
}

/// Without the commas and spaces that taken-out tags leave.
fn tidy(text: &str, changed: bool) -> String {
    if !changed {
        return text.to_owned();
    }
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// The file of the host's list that a tag means: the whole name or its last part, with or without its ending.
pub(super) fn find<'a>(name: &str, known: &'a [String]) -> Result<&'a str> {
    let stem = |file: &'a str| file.strip_suffix(".safetensors").unwrap_or(file);
    let exact = known.iter().find(|k| k.as_str() == name || stem(k) == name);
    if let Some(found) = exact {
        return Ok(found);
    }
    let last = |file: &'a str| stem(file).rsplit('/').next().unwrap_or(file);
    let found: Vec<&String> = known.iter().filter(|k| last(k) == name).collect();
    // A run that was stopped has left files of its epochs only.
    let of_epoch = |file: &'a str| [last(file), stem(file)].iter().any(|s| without_epoch(s) == Some(name));
    let epochs: Vec<&String> = known.iter().filter(|k| of_epoch(k)).collect();
    match found[..] {
        [one] => Ok(one),
        [] if epochs.len() == 1 => Ok(epochs[0]),
        [] if !epochs.is_empty() => {
            let all: Vec<&str> = epochs.iter().map(|f| stem(f)).collect();
            bail!("no LoRA `{name}`, but files of its epochs: {}; write one of them", all.join(", "))
        }
        [] => {
            let near = models::prompt::nearest(name, known.iter().map(|k| stem(k)));
            if near.is_empty() {
                bail!("no LoRA `{name}`: there are none in the folder `loras` of the models");
            }
            bail!("no LoRA `{name}`; the nearest names are {}", near.join(", "))
        }
        _ => {
            let all: Vec<&str> = found.iter().map(|f| stem(f)).collect();
            bail!("`{name}` may be any of {}; write its folder too", all.join(", "))
        }
    }
}

/// The name without the number that kohya's trainer puts behind the files of single epochs, `name-000040`.
fn without_epoch(stem: &str) -> Option<&str> {
    let (name, epoch) = stem.rsplit_once('-')?;
    (epoch.len() == 6 && epoch.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_taken_out_in_order() {
        let (text, tags) = extract("a cat, <lora:style:0.7>, <lora:folder/cat:1:0.5> on a mat <lora:x>").unwrap();
        assert_eq!(text, "a cat, on a mat");
        let found: Vec<_> = tags.iter().map(|t| (t.name.as_str(), t.strength_model, t.strength_clip)).collect();
        assert_eq!(found, [("style", 0.7, 0.7), ("folder/cat", 1.0, 0.5), ("x", 1.0, 1.0)]);
    }

    #[test]
    fn other_angle_brackets_are_text() {
        for text in ["1 < 2", "a <3 b", "<b>", "a < b, c > d", "x, , y"] {
            assert_eq!(extract(text).unwrap(), (text.to_owned(), vec![]), "{text}");
            refuse_tags(text).unwrap();
        }
    }

    #[test]
    fn mistakes_are_errors() {
        for (text, says) in [
            ("<ohwx:1.0>", "unknown kind of tag `ohwx`; a LoRA is written `<lora:name:1.0>`"),
            ("<lora::1>", "no name"),
            ("<lora:a:b>", "expected a strength"),
            ("<lora:a:nan>", "expected a strength"),
            ("<lora:a:1:1:1>", "at most two strengths"),
        ] {
            let error = extract(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(refuse_tags(text).is_err());
        }
        let error = refuse_tags("x <lora:a:1>").unwrap_err().to_string();
        assert!(error.contains("`LoraPrompt`"), "{error}");
    }

    #[test]
    fn names_are_found_with_and_without_folder_and_ending() {
        let known =
            ["people/ohwx.safetensors", "style.safetensors", "a/x.safetensors", "b/x.safetensors"].map(String::from);
        assert_eq!(find("ohwx", &known).unwrap(), "people/ohwx.safetensors");
        assert_eq!(find("people/ohwx", &known).unwrap(), "people/ohwx.safetensors");
        assert_eq!(find("style.safetensors", &known).unwrap(), "style.safetensors");
        assert!(find("x", &known).unwrap_err().to_string().contains("a/x, b/x"));
        let epochs =
            ["a/cat-000010.safetensors", "a/cat-000040.safetensors", "dog-000040.safetensors"].map(String::from);
        assert_eq!(find("cat-000040", &epochs).unwrap(), "a/cat-000040.safetensors");
        assert_eq!(find("dog", &epochs).unwrap(), "dog-000040.safetensors");
        assert!(find("cat", &epochs).unwrap_err().to_string().contains("a/cat-000010, a/cat-000040"));
        let error = find("stile", &known).unwrap_err().to_string();
        assert!(error.starts_with("no LoRA `stile`; the nearest names are style, "), "{error}");
        assert!(find("x", &[]).is_err());
    }
}
