//! What a chat answer holds: the caption without thinking, whether it was cut off, and how many tokens it took.

use crate::faults::{Fault, What, of_answer, shortened};
use serde_json::Value;

/// A caption as the server gave it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    /// It ran into the limit of tokens.
    pub(crate) cut: bool,
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
}

/// Reads the body of an answer.
///
/// # Errors
/// It is none, or holds no caption.
pub(crate) fn read(status: u16, body: &[u8]) -> Result<Answer, Fault> {
    if status != 200 {
        return Err(of_answer(status, body));
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Err(of_answer(status, body)) };
    let choice = &value["choices"][0];
    if !choice.is_object() {
        return Err(of_answer(status, body));
    }
    let message = &choice["message"];
    let reason = choice["finish_reason"].as_str().unwrap_or_default();
    if let Some(refusal) = message["refusal"].as_str().filter(|r| !r.is_empty()) {
        return Err(Fault::new(What::Refused, format!("the model refused: \"{}\"", shortened(refusal))));
    }
    if reason == "content_filter" {
        return Err(Fault::new(What::Refused, "the server's filter held the answer back"));
    }
    let cut = ["length", "max_tokens"].contains(&reason);
    let raw = content(&message["content"]);
    let thought =
        ["reasoning_content", "reasoning"].iter().any(|k| message[*k].as_str().is_some_and(|t| !t.is_empty()));
    let Some(text) = without_thinking(&raw) else { return Err(only_thought()) };
    let text = tidy(&text);
    if text.is_empty() {
        let thought = thought || raw.contains("</think");
        return Err(match thought && cut {
            true => only_thought(),
            false => Fault::new(What::Empty, format!("found an empty answer (finish_reason {reason:?})")),
        });
    }
    let tokens = |key: &str| value["usage"][key].as_u64().unwrap_or(0);
    Ok(Answer { text, cut, tokens_in: tokens("prompt_tokens"), tokens_out: tokens("completion_tokens") })
}

fn only_thought() -> Fault {
    Fault::new(What::Thinking, "the answer ended while the model was still thinking")
}

/// A text, or the texts of a list of parts.
fn content(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|p| p["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// The answer without `<think>…</think>`; none if the thinking never ends. Some chat templates open the thinking
/// themselves, so that only its end is in the answer.
fn without_thinking(text: &str) -> Option<String> {
    let mut out = text.to_owned();
    for name in ["think", "thinking", "reasoning"] {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        if let Some(end) = out.rfind(&close) {
            let first = out.find(&open).filter(|at| *at < end).unwrap_or(0);
            // What stands before the thinking is a caption only if the thinking was opened in the answer.
            out = format!("{}{}", &out[..first], &out[end + close.len()..]);
        }
        if let Some(at) = out.find(&open) {
            out.truncate(at);
            if out.trim().is_empty() {
                return None;
            }
        }
    }
    Some(out)
}

/// One paragraph without the wrapping that models like: quotation marks around all, code fences, a heading.
fn tidy(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("```").and_then(|t| t.strip_suffix("```")).map_or(text, |inner| {
        // The first line names a language.
        inner.split_once('\n').map_or(inner, |(_, rest)| rest)
    });
    let mut text = text.trim();
    for label in ["Caption:", "**Caption:**", "Description:", "**Description:**", "Tags:", "**Tags:**", "Prompt:"] {
        text = text.strip_prefix(label).map_or(text, str::trim_start);
    }
    for (open, close) in [('"', '"'), ('“', '”')] {
        let inner = text.strip_prefix(open).and_then(|t| t.strip_suffix(close));
        text = inner.filter(|t| !t.contains([open, close])).unwrap_or(text);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Answer {
    /// Cuts back to the last whole sentence or tag; none if there is none.
    pub(crate) fn trim(&mut self, tags: bool) -> Option<()> {
        let end = if tags {
            self.text.rfind(',')?
        } else {
            let ends = |(at, c): (usize, char)| {
                let after = &self.text[at + c.len_utf8()..];
                (['.', '!', '?', '。'].contains(&c)
                    && (c == '。' || after.is_empty() || after.starts_with([' ', '"', '”'])))
                .then_some(at + c.len_utf8())
            };
            self.text.char_indices().rev().find_map(ends)?
        };
        // Commas and points alone are no caption.
        if self.text[..end].trim_matches([',', '.', '!', '?', ' ']).is_empty() {
            return None;
        }
        self.text.truncate(end);
        Some(())
    }

    pub(crate) fn cut_fault(&self, max: u32) -> Fault {
        Fault::new(What::CutOff, format!("the answer was cut off at {max} tokens: \"{}\"", shortened(&self.text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chat(content: Value, reason: &str) -> Vec<u8> {
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": reason});
        json!({"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}).to_string().into_bytes()
    }

    fn text(content: &str) -> String {
        read(200, &chat(json!(content), "stop")).unwrap().text
    }

    #[test]
    fn the_caption_is_what_is_left_after_thinking_and_wrapping() {
        for (content, caption) in [
            ("A hat.", "A hat."),
            ("<think>\nIs it a cat? <b>No.</b>\n</think>\n\nA hat.", "A hat."),
            ("It is a hat, I think.</think> A hat.", "A hat."),
            ("<think>a</think>\n<think>b</think>A hat.", "A hat."),
            ("<thinking>x</thinking>A hat.", "A hat."),
            ("A hat. <think>or not", "A hat."),
            ("\"A hat.\"", "A hat."),
            ("\"A hat\" says the \"sign\"", "\"A hat\" says the \"sign\""),
            ("```text\nA hat.\n```", "A hat."),
            ("**Caption:** A\nhat.", "A hat."),
        ] {
            assert_eq!(text(content), caption, "{content}");
        }
        let parts = json!([{"type": "text", "text": "A "}, {"type": "text", "text": "hat."}]);
        let answer = read(200, &chat(parts, "stop")).unwrap();
        assert_eq!((answer.text.as_str(), answer.tokens_in, answer.tokens_out, answer.cut), ("A hat.", 10, 3, false));
    }

    #[test]
    fn answers_without_a_caption_are_faults() {
        let what = |content: Value, reason: &str| read(200, &chat(content, reason)).unwrap_err().what;
        assert_eq!(what(json!(""), "stop"), What::Empty);
        assert_eq!(what(Value::Null, "stop"), What::Empty);
        assert_eq!(what(json!("<think>hm"), "length"), What::Thinking);
        assert_eq!(what(json!("<think>hm</think>"), "stop"), What::Empty);
        assert_eq!(what(json!("x"), "content_filter"), What::Refused);
        let reasoned =
            json!({"choices": [{"message": {"content": "", "reasoning_content": "hm"}, "finish_reason": "length"}]});
        assert_eq!(read(200, reasoned.to_string().as_bytes()).unwrap_err().what, What::Thinking);
        assert_eq!(read(200, b"{\"choices\": []}").unwrap_err().what, What::Odd);
        assert_eq!(read(200, b"hello").unwrap_err().what, What::Odd);
    }

    #[test]
    fn what_was_cut_off_ends_at_a_whole_sentence_or_tag() {
        let trimmed = |text: &str, tags| {
            let mut answer = Answer { text: text.into(), ..Answer::default() };
            answer.trim(tags).map(|()| answer.text)
        };
        assert!(read(200, &chat(json!("A hat. A ca"), "length")).unwrap().cut);
        assert_eq!(trimmed("A hat of 1.5 m. A ca", false).unwrap(), "A hat of 1.5 m.");
        assert_eq!(trimmed("She says \"no!\" and le", false).unwrap(), "She says \"no!");
        assert_eq!(trimmed("hat, long ha", true).unwrap(), "hat");
        assert_eq!(trimmed("A hat of 1.5", false), None);
        assert_eq!(trimmed("ha", true), None);
    }
}
