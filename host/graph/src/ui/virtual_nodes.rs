//! Nodes that exist in the editor only.

/// What a link that comes from such a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Virtual {
    /// Nothing comes out of it.
    Silent,
    /// What goes into it.
    Passes,
    /// Its own value.
    Literal,
    /// What goes into the [`Virtual::Sets`] of the same name.
    Gets,
    Sets,
}

const NODES: &[(&str, Virtual)] = &[
    ("Note", Virtual::Silent),
    ("MarkdownNote", Virtual::Silent),
    ("Reroute", Virtual::Passes),
    ("PrimitiveNode", Virtual::Literal),
    ("GetNode", Virtual::Gets),
    ("SetNode", Virtual::Sets),
    ("Reroute (rgthree)", Virtual::Passes),
    ("Bookmark (rgthree)", Virtual::Silent),
    ("Label (rgthree)", Virtual::Silent),
    ("Node Collector (rgthree)", Virtual::Silent),
    ("Mute / Bypass Relay (rgthree)", Virtual::Silent),
    ("Mute / Bypass Repeater (rgthree)", Virtual::Silent),
    ("Fast Muter (rgthree)", Virtual::Silent),
    ("Fast Bypasser (rgthree)", Virtual::Silent),
    ("Fast Groups Muter (rgthree)", Virtual::Silent),
    ("Fast Groups Bypasser (rgthree)", Virtual::Silent),
    ("Fast Actions Button (rgthree)", Virtual::Silent),
];

/// How a node of this class is left out; none for nodes that are sent.
pub(super) fn role(class_type: &str) -> Option<Virtual> {
    NODES.iter().find(|(name, _)| *name == class_type).map(|(_, role)| *role)
}
