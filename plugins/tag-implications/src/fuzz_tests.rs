//! Rules that nobody would write: refused with words, or applied the same way each time. See `plugin_test::fuzz`.

use super::*;
use plugin_sdk::Annotation;
use plugin_test::{FakeHost, annotation, fuzz, open_tag_filter};
use serde_json::{Value, json};

fn apply(settings: &Value, known: Annotation) -> Result<Annotation> {
    let mut filter: TagImplications = open_tag_filter(settings.clone())?;
    let request = FilterRequest { annotation: known, ..FilterRequest::default() };
    let Verdict::Keep(found) = filter.apply(vec![request])?.remove(0) else { panic!("dropped") };
    Ok(found)
}

#[test]
fn odd_rules_are_refused_or_applied() {
    let real = [
        "white shirt -> shirt # a comment\nshirt -> clothes, top",
        "a -> b\nb -> c\nc -> a",
        "a = b, c",
        r#"[{"antecedent_name": "a", "consequent_name": "b", "status": "active"}]"#,
        "shirt, white shirt, top",
    ];
    let _host = FakeHost::new().install();
    let (mut done, mut refused, mut collapsed) = (0, 0, 0);
    fuzz::cases(
        3000,
        |random| {
            let mode = *random.one(&["collapse", "expand", "off"]);
            let aliases = if random.next(2) == 0 { String::new() } else { fuzz::text(random, &real[1..3]) };
            let settings = json!({
                "implications": fuzz::text(random, &real), "aliases": aliases, "mode": mode,
            });
            (settings, fuzz::text(random, &real))
        },
        |(settings, tags)| {
            let tags: Vec<&str> = tags.split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
            match apply(settings, annotation(&tags)) {
                Ok(found) => {
                    done += 1;
                    assert_eq!(apply(settings, annotation(&tags)).unwrap().tags, found.tags);
                    if settings["mode"] == "collapse" && settings["aliases"] == "" {
                        collapsed += 1;
                        let again = apply(settings, found.clone()).unwrap().tags;
                        assert_eq!(again, found.tags, "a second time changes more");
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(!error.message.is_empty());
                }
            }
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(done > 200 && refused > 50 && collapsed > 20, "{done} done, {refused} refused");
    }
}
