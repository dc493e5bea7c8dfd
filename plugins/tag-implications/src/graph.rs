//! Which tag implies which, through any number of steps.

use booru::names::key;
use std::collections::{BTreeMap, BTreeSet};

/// Key of a tag → keys and names of what it implies directly.
pub(crate) struct Graph(BTreeMap<String, Vec<(String, String)>>);

impl Graph {
    /// From pairs (special, general).
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Self {
        let mut out: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for (from, to) in pairs {
            let (from, to) = (key(&from), (key(&to), to));
            let all = out.entry(from.clone()).or_default();
            if to.0 != from && !all.contains(&to) {
                all.push(to);
            }
        }
        Self(out)
    }

    /// Everything that a tag implies, nearest first, without itself.
    pub(crate) fn all_from(&self, tag: &str) -> Vec<(String, String)> {
        let mut seen = BTreeSet::from([tag.to_owned()]);
        let mut out: Vec<(String, String)> = Vec::new();
        let mut at = 0;
        let mut next = tag.to_owned();
        loop {
            for pair in self.0.get(&next).into_iter().flatten() {
                if seen.insert(pair.0.clone()) {
                    out.push(pair.clone());
                }
            }
            let Some(pair) = out.get(at) else { return out };
            next.clone_from(&pair.0);
            at += 1;
        }
    }

    /// Which of these tags others of them imply. Of tags that imply each other the first stays.
    pub(crate) fn implied_by_others(&self, tags: &[String]) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        for tag in tags {
            if out.contains(tag) {
                continue;
            }
            out.extend(self.all_from(tag).into_iter().map(|(k, _)| k).filter(|k| tags.contains(k)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(text: &str) -> Graph {
        Graph::new(text.split(", ").filter_map(|p| p.split_once('>')).map(|(a, b)| (a.into(), b.into())).collect())
    }

    fn implied(graph: &Graph, tags: &str) -> String {
        let tags: Vec<String> = tags.split(' ').map(str::to_owned).collect();
        graph.implied_by_others(&tags).into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn steps_are_followed_and_circles_end() {
        let g = graph("a>b, b>c, c>d, x>c, d>d");
        let all: Vec<String> = g.all_from("a").into_iter().map(|(k, _)| k).collect();
        assert_eq!(all, ["b", "c", "d"]);
        assert_eq!(implied(&g, "a d"), "d", "also where the steps between are not there");
        assert_eq!(implied(&g, "d c b a"), "b c d");
        assert_eq!(implied(&g, "b x"), "");
        let circle = graph("a>b, b>a, b>c");
        assert_eq!(implied(&circle, "b a c"), "a c", "one of a circle stays");
    }
}
