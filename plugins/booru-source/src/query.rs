//! What to search for: which tags the site is sent, and which are filtered here.

use crate::families::Family;
use booru::names;
use plugin_sdk::{Error, Result};

/// A search as the user wrote it, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) wanted: Vec<String>,
    pub(crate) unwanted: Vec<String>,
    /// `order:score`, `-status:deleted`: only the site can answer these.
    pub(crate) meta: Vec<String>,
}

/// A search, divided between the site and this plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Tags and paid metatags, as they are sent.
    pub(crate) sent: Vec<String>,
    /// Must be on a post.
    pub(crate) wanted: Vec<String>,
    /// Must not be on a post.
    pub(crate) unwanted: Vec<String>,
}

impl Query {
    /// Reads the two settings.
    pub(crate) fn parse(family: &Family, tags: &str, exclude: &str) -> Result<Self> {
        let mut out = Self::default();
        for name in split(family, tags) {
            match name.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                _ if is_meta(family, &name) => out.meta.push(name),
                Some(rest) => out.unwanted.push(rest.to_owned()),
                None => out.wanted.push(name),
            }
        }
        for name in split(family, exclude) {
            out.unwanted.push(name.trim_start_matches('-').to_owned());
        }
        let alternative = |n: &&String| n.starts_with('~') || *n == "or" || *n == "||";
        if let Some(found) = out.wanted.iter().find(alternative) {
            return Err(Error::invalid_input(format!(
                "tags: found `{found}`; alternatives cannot be divided between the site and this filter: use one source \
                 for each and join the datasets"
            )));
        }
        for list in [&mut out.wanted, &mut out.unwanted, &mut out.meta] {
            let mut seen = std::collections::BTreeSet::new();
            list.retain(|n| seen.insert(n.clone()));
        }
        if let Some(both) = out.wanted.iter().find(|n| out.unwanted.contains(n)) {
            return Err(Error::invalid_input(format!(
                "tags: `{both}` is both wanted and excluded, so nothing can be found"
            )));
        }
        Ok(out)
    }

    /// Does a metatag change the order? Then ids say nothing about what comes next.
    pub(crate) fn is_sorted(&self) -> bool {
        self.meta.iter().any(|m| m.starts_with("order:") || m.starts_with("sort:"))
    }

    fn paid(&self, family: &Family) -> usize {
        self.meta.iter().filter(|m| !family.free.contains(&prefix(m))).count()
    }

    /// Do the tags exceed what may be sent, so that it is worth asking how frequent they are?
    pub(crate) fn is_too_long(&self, family: &Family, limit: Option<usize>) -> bool {
        limit.is_some_and(|l| self.paid(family) + self.wanted.len() > l && self.wanted.len() > 1)
    }

    /// Divides the search: the rarest wanted tags are sent, since they leave the least to look through, and with room
    /// left the most frequent excluded ones. A name that the site does not count may be an alias, which only the site
    /// can resolve, so it goes first; patterns go last.
    pub(crate) fn plan(
        &self,
        family: &Family,
        limit: Option<usize>,
        count: impl Fn(&str) -> Option<u64>,
    ) -> Result<Plan> {
        let paid = self.paid(family);
        if limit.is_some_and(|l| paid > l) {
            return Err(Error::invalid_input(format!(
                "tags: {paid} metatags are not free here, but only {} tags may be sent: {}; leave some out, or set \
                 `tag_limit` to what your account may send",
                limit.unwrap_or(0),
                self.meta.join(" ")
            )));
        }
        let room = limit.map_or(usize::MAX, |l| l - paid);
        let mut plan = Plan { sent: self.meta.clone(), ..Plan::default() };
        let mut wanted = self.wanted.clone();
        if wanted.len() > room {
            wanted.sort_by_key(|n| if n.contains('*') { u64::MAX } else { count(n).unwrap_or(0) });
        }
        plan.wanted = wanted.split_off(wanted.len().min(room));
        let left = room.saturating_sub(wanted.len());
        plan.sent.extend(wanted);
        let mut unwanted = self.unwanted.clone();
        if unwanted.len() > left {
            unwanted.sort_by_key(|n| std::cmp::Reverse(count(n).unwrap_or(0)));
        }
        plan.unwanted = unwanted.split_off(unwanted.len().min(left));
        plan.sent.extend(unwanted.into_iter().map(|n| format!("-{n}")));
        Ok(plan)
    }
}

impl Plan {
    /// Is a post with these tags what was searched for?
    pub(crate) fn fits<'a>(&self, tags: impl Iterator<Item = &'a str>) -> bool {
        let tags: Vec<String> = tags.map(names::key).collect();
        let has = |name: &String| {
            let name = names::key(name);
            if name.contains('*') { tags.iter().any(|t| names::matches(&name, t)) } else { tags.contains(&name) }
        };
        self.wanted.iter().all(has) && !self.unwanted.iter().any(has)
    }
}

/// Names as the family writes them.
fn split(family: &Family, text: &str) -> Vec<String> {
    let parts = booru::names::list(text).flat_map(|part| match family.separator {
        ", " => vec![part.replace('_', " ")],
        _ => part.split_whitespace().map(str::to_owned).collect(),
    });
    parts.map(|p| p.to_lowercase()).collect()
}

fn prefix(name: &str) -> &str {
    name.trim_start_matches('-').split(':').next().unwrap_or_default()
}

fn is_meta(family: &Family, name: &str) -> bool {
    let name = name.trim_start_matches('-');
    let value = name.split_once(':').is_some_and(|(_, value)| !value.is_empty());
    value && (family.free.contains(&prefix(name)) || family.metatags.contains(&prefix(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::named;

    fn danbooru() -> &'static Family {
        named("danbooru").unwrap()
    }

    fn counts(name: &str) -> Option<u64> {
        [("1girl", 6_000_000), ("solo", 5_000_000), ("lighthouse", 900), ("night", 100_000), ("hat", 700_000)]
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, c)| *c)
    }

    fn plan(tags: &str, exclude: &str, limit: Option<usize>) -> Plan {
        Query::parse(danbooru(), tags, exclude).unwrap().plan(danbooru(), limit, counts).unwrap()
    }

    #[test]
    fn the_two_rarest_are_sent_and_the_rest_is_filtered_here() {
        let p = plan("1girl solo lighthouse night score:>5 -hat", "", Some(2));
        assert_eq!(p.sent, ["score:>5", "lighthouse", "night"], "free metatags are not counted");
        assert_eq!(
            (p.wanted.as_slice(), p.unwanted.as_slice()),
            (&["solo".into(), "1girl".into()][..], &["hat".into()][..])
        );
        assert!(p.fits(["1girl", "solo", "x"].into_iter()));
        assert!(!p.fits(["1girl", "x"].into_iter()) && !p.fits(["1girl", "solo", "hat"].into_iter()));
    }

    #[test]
    fn what_fits_is_sent_as_it_is() {
        let p = plan("lighthouse", "hat", Some(2));
        assert_eq!(p.sent, ["lighthouse", "-hat"]);
        assert_eq!(p, Plan { sent: p.sent.clone(), ..Plan::default() });
        assert_eq!(plan("1girl", "hat night", Some(2)).unwanted, ["night"], "the most frequent exclude saves most");
        assert_eq!(plan("a b c d", "e", None).sent, ["a", "b", "c", "d", "-e"]);
    }

    #[test]
    fn unknown_names_are_sent_and_patterns_are_not() {
        let p = plan("1girl some_alias *_hat", "", Some(2));
        assert_eq!(p.sent, ["some_alias", "1girl"]);
        assert_eq!(p.wanted, ["*_hat"]);
        assert!(p.fits(["straw_hat"].into_iter()) && !p.fits(["hat"].into_iter()));
    }

    #[test]
    fn a_metatag_that_is_not_free_takes_a_place() {
        let p = plan("order:score 1girl lighthouse", "", Some(2));
        assert_eq!(p.sent, ["order:score", "lighthouse"]);
        let q = Query::parse(danbooru(), "order:score user:x pool:3", "").unwrap();
        assert!(q.is_sorted());
        assert!(q.plan(danbooru(), Some(2), counts).unwrap_err().message.contains("tag_limit"));
    }

    #[test]
    fn each_family_separates_in_its_way() {
        let q = Query::parse(danbooru(), "Long_Hair, :3\n re:zero photo_(medium)", " -hat").unwrap();
        assert_eq!(q.wanted, ["long_hair", ":3", "re:zero", "photo_(medium)"]);
        assert_eq!(q.unwanted, ["hat"]);
        let p = named("philomena").unwrap();
        let q = Query::parse(p, "nothing here, artist:inkwell_ada, -boat", "").unwrap();
        assert_eq!((q.wanted.len(), q.wanted[1].as_str()), (2, "artist:inkwell ada"));
        assert!(Query::parse(danbooru(), "~a ~b", "").is_err());
        assert!(Query::parse(danbooru(), "a", "a").unwrap_err().message.contains("both wanted and excluded"));
    }
}
