//! What is known of an image, and how a plugin reports a failure. The JSON form equals that of the WIT records.

use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};

/// One comma-separated part of a caption.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tag {
    /// Name as the tagger writes it, usually with underscores.
    pub name: String,
    /// Confidence in 0..=1, if the origin states one.
    #[serde(default)]
    pub score: Option<f32>,
    /// `general`, `artist`, `character`, `copyright`, `meta`, `rating` …
    #[serde(default)]
    pub category: Option<String>,
}

/// Leaves out what is not there. A score that is not finite is an error: JSON would turn it into none, silently.
impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(score) = self.score.filter(|s| !s.is_finite()) {
            return Err(S::Error::custom(format!("the score of `{}` is no number, but {score}", self.name)));
        }
        let fields = 1 + usize::from(self.score.is_some()) + usize::from(self.category.is_some());
        let mut tag = serializer.serialize_struct("Tag", fields)?;
        tag.serialize_field("name", &self.name)?;
        match self.score {
            Some(score) => tag.serialize_field("score", &score)?,
            None => tag.skip_field("score")?,
        }
        match &self.category {
            Some(category) => tag.serialize_field("category", category)?,
            None => tag.skip_field("category")?,
        }
        tag.end()
    }
}

/// What is known about one image: the unit that captioners produce and tag filters rewrite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Annotation {
    /// A caption in sentences. Never split at commas, never shuffled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Tags in their order.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Room to grow: a JSON object as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
}

/// Why a plugin or a host service could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    InvalidInput,
    NotFound,
    Denied,
    Unavailable,
    Timeout,
    Cancelled,
    RateLimited,
    TooLarge,
    Unsupported,
    Internal,
}

/// The error record that crosses the plugin boundary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginError {
    pub kind: ErrorKind,
    pub message: String,
    /// Hint for a retry, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// More detail: a JSON object as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
}

impl PluginError {
    /// An error of `kind` with a message and no hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after_ms: None, extra: None }
    }

    /// The caller gave something that cannot be right.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// What was asked for is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// No grant allows it; the message names the grant that would.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// This side cannot do it at all.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A fault of the plugin or the host itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl From<serde_json::Error> for PluginError {
    fn from(e: serde_json::Error) -> Self {
        Self::invalid_input(format!("malformed JSON: {e}"))
    }
}

impl From<std::string::FromUtf8Error> for PluginError {
    fn from(e: std::string::FromUtf8Error) -> Self {
        Self::invalid_input(format!("expected UTF-8 text: {e}"))
    }
}

impl std::fmt::Display for PluginError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PluginError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_in_json_are_as_they_were_and_never_lose_a_score() {
        let tag = |score, category: Option<&str>| Tag { name: "a".into(), score, category: category.map(Into::into) };
        for (tag, json) in [
            (tag(None, None), r#"{"name":"a"}"#),
            (tag(Some(0.25), None), r#"{"name":"a","score":0.25}"#),
            (tag(Some(0.0), Some("meta")), r#"{"name":"a","score":0.0,"category":"meta"}"#),
        ] {
            assert_eq!(serde_json::to_string(&tag).unwrap(), json);
            assert_eq!(serde_json::from_str::<Tag>(json).unwrap(), tag);
        }
        for score in [f32::NAN, f32::INFINITY] {
            let e = serde_json::to_string(&tag(Some(score), None)).unwrap_err().to_string();
            assert!(e.contains("the score of `a` is no number"), "{e}");
        }
    }
}
