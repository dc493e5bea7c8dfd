//! Rules that need no list: words that another tag holds, and traits of several people.

use booru::names::key;
use plugin_sdk::Tag;
use std::collections::BTreeSet;

/// Ends of tags that say how someone looks.
const TRAITS: [&str; 4] = ["_hair", "_eyes", "_sleeves", "_skin"];

/// Tags whose words all stand at the end of another tag's. A name in brackets is not a word of the picture.
pub(crate) fn held(tags: &[Tag]) -> BTreeSet<String> {
    let keys: Vec<String> = tags.iter().map(|t| key(&t.name)).collect();
    let general = |tag: &Tag| tag.category.as_deref().is_none_or(|c| c == "general");
    let rows = || keys.iter().zip(tags).filter(|(k, t)| general(t) && !k.contains('('));
    let within = |short: &str| rows().any(|(long, _)| long.strip_suffix(short).is_some_and(|head| head.ends_with('_')));
    rows().filter(|(k, _)| within(k)).map(|(k, _)| k.clone()).collect()
}

/// Tags of traits that several people have differently.
pub(crate) fn mixed_traits(tags: &[Tag]) -> BTreeSet<String> {
    let keys: BTreeSet<String> = tags.iter().map(|t| key(&t.name)).collect();
    if people(&keys) < 2 {
        return BTreeSet::new();
    }
    let groups = TRAITS.iter().map(|end| keys.iter().filter(|k| k.ends_with(end)).cloned().collect::<Vec<_>>());
    groups.filter(|group| group.len() > 1).flatten().collect()
}

/// How many people the tags count: 2 for any number above one.
fn people(keys: &BTreeSet<String>) -> u32 {
    let of = |name: &String| -> u32 {
        let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
        match &name[digits.len()..] {
            "girl" | "girls" | "boy" | "boys" | "other" | "others" => digits.parse().unwrap_or(0),
            "+girls" | "+boys" | "+others" => 2,
            _ if ["multiple_girls", "multiple_boys", "multiple_others", "couple"].contains(&name.as_str()) => 2,
            _ => 0,
        }
    };
    keys.iter().map(of).fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_test::annotation;

    fn text(all: BTreeSet<String>) -> String {
        all.into_iter().collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn words_at_the_end_of_another_tag_are_held_by_it() {
        let tags =
            annotation(&["shirt", "white shirt", "hair bow", "hair", "bow", "t-shirt", "rin (series)", "(series)"]);
        assert_eq!(text(held(&tags.tags)), "bow, shirt");
        let mut named = annotation(&["saber", "dark saber"]);
        named.tags[0].category = Some("character".into());
        assert!(held(&named.tags).is_empty(), "names are not words");
    }

    #[test]
    fn only_several_people_with_different_traits_lose_them() {
        let mixed = |tags: &[&str]| text(mixed_traits(&annotation(tags).tags));
        assert_eq!(mixed(&["2girls", "red hair", "blue_hair", "green eyes"]), "blue_hair, red_hair");
        assert_eq!(mixed(&["1girl", "1boy", "red eyes", "blue eyes"]), "blue_eyes, red_eyes");
        assert_eq!(mixed(&["1girl", "red hair", "long hair"]), "");
        assert_eq!(mixed(&["6+girls", "red hair", "long hair", "9999999999girls"]), "long_hair, red_hair");
    }
}
