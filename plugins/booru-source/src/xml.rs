//! The XML of the 0.2 kind of sites: posts are elements whose attributes say everything.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

/// An answer in XML.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// Name of the first element.
    pub(crate) root: String,
    /// Its attributes.
    pub(crate) attributes: Value,
    /// Attributes of each `<post>`, as an object of texts.
    pub(crate) posts: Vec<Value>,
    /// Text outside of attributes.
    text: String,
}

/// Reads a document; none if it is no XML.
pub(crate) fn read(text: &str) -> Option<Document> {
    let mut reader = Reader::from_str(text);
    let mut out = Document::default();
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                let name = element.name().as_ref().to_owned();
                let attributes = attributes(&element)?;
                if out.root.is_empty() {
                    out.root = name;
                    out.attributes = attributes;
                } else if name == "post" {
                    out.posts.push(attributes);
                }
            }
            Event::Text(t) => out.text.push_str(&t),
            Event::Eof => return (!out.root.is_empty()).then_some(out),
            _ => {}
        }
    }
}

fn attributes(element: &BytesStart) -> Option<Value> {
    let mut out = Map::new();
    for attribute in element.attributes() {
        let attribute = attribute.ok()?;
        let value = crate::fields::unescaped(&attribute.value);
        out.insert(attribute.key.as_ref().to_owned(), Value::String(value));
    }
    Some(Value::Object(out))
}

/// What an error in XML says.
pub(crate) fn message(text: &str) -> Option<String> {
    let found = read(text)?;
    let reason = crate::fields::text(&found.attributes, "reason").map(str::to_owned);
    reason.or_else(|| Some(found.text.trim().to_owned()).filter(|t| !t.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_unescaped() {
        let d = read("<posts count=\"2\"><post id=\"1\" tags=\" &gt;_&lt; a\"/><post id=\"2\" score=\"\"/></posts>")
            .unwrap();
        assert_eq!((d.root.as_str(), d.posts.len()), ("posts", 2));
        assert_eq!(d.attributes["count"], "2");
        assert_eq!(d.posts[0]["tags"], " >_< a");
        assert!(read("Too deep!").is_none() && read("").is_none());
        assert!(read("<posts><post id=\"1\"").is_none(), "cut off");
    }

    #[test]
    fn errors_speak() {
        assert_eq!(message("<error>No key.</error>").as_deref(), Some("No key."));
        assert_eq!(message("<response success=\"false\" reason=\"x\"/>").as_deref(), Some("x"));
        assert_eq!(message("<posts/>"), None);
    }
}
