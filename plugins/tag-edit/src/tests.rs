//! The whole filter, as the host calls it.

use super::*;
use plugin_sdk::{ErrorKind, Tag};
use plugin_test::FakeHost;
use serde_json::{Value, json};

fn request(id: &str, subset: &str, tags: &str) -> FilterRequest {
    let tags = booru::names::list(tags).map(|name| Tag { name: name.to_owned(), ..Tag::default() }).collect();
    FilterRequest { id: id.into(), subset: subset.into(), annotation: Annotation { tags, ..Annotation::default() } }
}

fn open(settings: Value) -> Result<TagEdit> {
    plugin_test::open_tag_filter(settings)
}

/// Both passes over one batch; the captions, or the reasons for leaving images out.
fn run(settings: Value, batch: &[FilterRequest]) -> Result<Vec<String>> {
    let mut filter = open(settings)?;
    if filter.passes() == 2 {
        filter.observe(batch)?;
    }
    let verdicts = filter.apply(batch.to_vec())?;
    Ok(verdicts
        .into_iter()
        .map(|v| match v {
            Verdict::Keep(a) => a.tags.into_iter().map(|t| t.name).chain(a.text).collect::<Vec<_>>().join(", "),
            Verdict::Drop(reason) => format!("dropped: {reason}"),
        })
        .collect())
}

#[test]
fn a_character_absorbs_its_traits() {
    let settings = json!({
        "activation": "ohwx", "prune": "teal hair, twin buns, sunglasses", "merge": "gray background -> grey background",
    });
    let out = run(
        settings,
        &[
            request("1", "", "ink_style, teal_hair, twin_buns, gray_background, ohwx"),
            request("2", "", "ink_style, sunglasses, ^_^, red_background, red background"),
        ],
    );
    assert_eq!(out.unwrap(), ["ohwx, ink style, grey background", "ohwx, ink style, ^_^, red background"]);
}

#[test]
fn defaults_change_only_spelling_and_duplicates() {
    assert_eq!(run(json!({}), &[request("1", "", "b_c, a, B c")]).unwrap(), ["b c, a"]);
    assert_eq!(open(json!({})).unwrap().passes(), 1);
}

#[test]
fn rules_that_match_nothing_are_reported_once() {
    let host = FakeHost::new().install();
    let batch = [request("1", "day", "a, b")];
    let mut filter = open(json!({"prune": "b, missing", "subset_prefix": "night = dark", "min_images": 2})).unwrap();
    filter.observe(&batch).unwrap();
    assert!(filter.apply(batch.to_vec()).is_err(), "`a` is too rare, so nothing is left");
    assert!(filter.apply(batch.to_vec()).is_err());
    let log: Vec<String> = host.logs().into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        log,
        [
            "prune `missing` matched no tag in any of the 1 images",
            "no image belongs to a subset `night`; its texts have no effect",
            "1 tags dropped for their frequency: a (1)",
        ]
    );
}

#[test]
fn an_image_without_tags_is_an_error_that_says_what_it_had() {
    let _host = FakeHost::new().install();
    let batch = [request("x/7.png", "", "a")];
    let e = run(json!({"prune": "a"}), &batch).unwrap_err();
    assert_eq!(e.kind, ErrorKind::InvalidInput);
    assert!(e.message.contains("image `x/7.png`: no tag is left; it had a."), "{}", e.message);
    assert_eq!(run(json!({"prune": "a", "empty": "drop"}), &batch).unwrap(), ["dropped: no tag is left; it had a"]);
    assert_eq!(run(json!({"prune": "a", "empty": "keep"}), &batch).unwrap(), [""]);
}

#[test]
fn sentences_keep_their_commas() {
    let mut r = request("1", "totoro", "");
    r.annotation.text = Some("A girl waits, in the rain.".into());
    let out = run(json!({"activation": "In style of X.", "subset_prefix": "totoro = Scene from 'Totoro' film."}), &[r]);
    assert_eq!(out.unwrap(), ["In style of X. Scene from 'Totoro' film. A girl waits, in the rain."]);
}

#[test]
fn sorts_limits_and_categories() {
    let mut r = request("1", "", "c, a, b");
    r.annotation.tags[2].score = Some(0.9);
    r.annotation.tags[0].category = Some("copyright".into());
    let batch = [r, request("2", "", "a")];
    assert_eq!(run(json!({"sort": "score", "max_tags": 2}), &batch).unwrap()[0], "b, c");
    assert_eq!(run(json!({"sort": "alphabet"}), &batch).unwrap()[0], "a, b, c");
    assert_eq!(run(json!({"sort": "frequency"}), &batch).unwrap()[0], "a, c, b");
    assert_eq!(run(json!({"drop_categories": "Copyright"}), &batch).unwrap()[0], "a, b");
}

#[test]
fn faults_in_the_settings_are_all_named() {
    let e = open(json!({"merge": "a", "subset_suffix": "b"})).err().unwrap().message;
    assert!(e.contains("merge `a`") && e.contains("subset_suffix `b`"), "{e}");
}

#[test]
fn names_of_characters_split_and_brackets_are_escaped() {
    let mut r = request("1", "", "saber_(fate)_(stay), hat_(cap), (o)_(o)");
    r.annotation.tags[0].category = Some("character".into());
    let one = |settings: Value| run(settings, &[r.clone()]).unwrap().remove(0);
    assert_eq!(one(json!({"split_characters": true})), "saber, fate, stay, hat (cap), (o)_(o)");
    assert_eq!(one(json!({"brackets": "escape"})), "saber \\(fate\\) \\(stay\\), hat \\(cap\\), (o)_(o)");
    let escaped = request("1", "", "hat_\\(cap\\)");
    assert_eq!(run(json!({"brackets": "unescape"}), std::slice::from_ref(&escaped)).unwrap(), ["hat (cap)"]);
    assert_eq!(run(json!({"brackets": "escape"}), &[escaped]).unwrap(), ["hat \\(cap\\)"], "never twice");
}

#[test]
fn categories_and_first_tags_are_put_in_order() {
    let mut r = request("1", "", "b, x, 2girls, a, 1boy, s");
    r.annotation.tags[1].category = Some("character".into());
    r.annotation.tags[5].category = Some("style".into());
    let settings = json!({"category_order": "Character, general", "sort": "alphabet", "first": "*girls, 1boy"});
    assert_eq!(run(settings, &[r]).unwrap(), ["2girls, 1boy, x, a, b, s"]);
}

#[test]
fn ratings_stand_first_last_or_nowhere() {
    let mut r = request("1", "", "b, general, a, rating:safe");
    r.annotation.tags[1].category = Some("rating".into());
    let one = |settings: Value| run(settings, &[r.clone()]).unwrap().remove(0);
    assert_eq!(one(json!({"rating": "first"})), "general, rating:safe, b, a");
    assert_eq!(one(json!({"rating": "last", "sort": "alphabet"})), "a, b, general, rating:safe");
    assert_eq!(one(json!({"rating": "last", "sort": "alphabet", "max_tags": 2})), "a, rating:safe");
    assert_eq!(one(json!({"rating": "drop"})), "b, a");
}

#[test]
fn a_shuffle_is_the_same_each_time_and_another_for_each_picture_and_seed() {
    let tags = "head, two, a, b, c, d, e, f, g, h";
    let shuffled = |id: &str, seed: u32| {
        let settings = json!({"sort": "shuffle", "seed": seed, "keep_first": 2, "activation": "ohwx"});
        run(settings, &[request(id, "", tags)]).unwrap().remove(0)
    };
    let first = shuffled("1.png", 7);
    assert_eq!(first, shuffled("1.png", 7));
    assert!(first.starts_with("ohwx, head, two, ") && first != format!("ohwx, {tags}"), "{first}");
    assert_ne!(first, shuffled("2.png", 7));
    assert_ne!(first, shuffled("1.png", 8));
    let sorted = |text: &str| {
        let mut names: Vec<String> = booru::names::list(text).map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(sorted(&first), sorted(&format!("ohwx, {tags}")), "nothing is lost");
}

#[test]
fn rules_see_tags_without_their_weights_and_signs_are_written() {
    let batch = [request("1", "", "(long_hair:1.2), d&#039;arc, (hat:0.9), (coat:1.1)")];
    let one = |settings: Value| run(settings, &batch).unwrap().remove(0);
    assert_eq!(one(json!({})), "(long hair:1.2), d'arc, (hat:0.9), (coat:1.1)");
    assert_eq!(
        one(json!({"prune": "hat", "merge": "coat -> jacket", "brackets": "escape"})),
        "(long hair:1.2), d'arc, jacket"
    );
    assert_eq!(one(json!({"weights": "remove", "entities": false})), "long hair, d&#039;arc, hat, coat");
    assert_eq!(one(json!({"weights": "ignore"})), "(long hair:1.2), d'arc, (hat:0.9), (coat:1.1)");
    let mut sentence = request("1", "", "");
    sentence.annotation.text = Some("She says &quot;no&quot;.".into());
    assert_eq!(run(json!({}), &[sentence]).unwrap(), ["She says \"no\"."]);
}
