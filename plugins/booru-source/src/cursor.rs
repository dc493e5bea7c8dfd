//! Where a listing goes on: a text that another instance, on another day, can take up.

use plugin_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

/// The next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum At {
    /// A numbered page, as the site counts.
    Page(u32),
    /// Posts with smaller ids than this.
    Below(u64),
    /// Nothing is left; asking for this confirms that the last page was used.
    End,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    pub(crate) at: At,
    /// Posts a page, so that numbered pages keep their meaning.
    pub(crate) limit: u32,
    /// Smallest id so far: newest first, what is not below it was there before.
    pub(crate) low: Option<u64>,
    /// Posts listed and posts given.
    pub(crate) listed: u64,
    pub(crate) given: u64,
    /// How many the site said there are.
    pub(crate) total: Option<u64>,
}

impl Cursor {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|e| Error::invalid_input(format!("expected a cursor of this source, found {text:?}: {e}")))
    }

    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_as_text() {
        for at in [At::Page(3), At::Below(7_410_051), At::End] {
            let c = Cursor { at, limit: 200, low: Some(5), listed: 9, given: 7, total: None };
            assert_eq!(Cursor::parse(&c.write()).unwrap(), c);
        }
        assert!(Cursor::parse("b123").unwrap_err().message.contains("expected a cursor"));
    }
}
