//! Answers that are almost right: a list or a fault with words, never a panic. See `plugin_test::fuzz`.

use crate::cursor::Cursor;
use crate::families::{FAMILIES, Family};
use crate::query::Query;
use crate::{dates, faults, fields, xml};
use plugin_test::fuzz;
use std::path::Path;

/// Recorded bodies of a family.
fn recorded(family: &Family) -> Vec<Vec<u8>> {
    let folder = if family.name == "gelbooru-0.2" { "safebooru" } else { family.name };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/booru").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{}", folder.display());
    files.iter().map(|f| std::fs::read(f).unwrap()).collect()
}

const STATUSES: &[u16] = &[200, 302, 400, 401, 403, 404, 410, 421, 422, 429, 451, 500, 503, 999];

/// What a person reads must be short, whatever the site said.
const LONGEST: usize = 2000;

fn check_fault(fault: &faults::Fault) {
    let message = fault.error("danbooru at https://d.example").message;
    assert!(message.len() > 20 && message.len() < LONGEST, "{message}");
}

#[test]
fn odd_answers_are_lists_or_faults() {
    for family in FAMILIES {
        let real = recorded(family);
        let (mut lists, mut refused) = (0, 0);
        fuzz::cases(
            1500,
            |random| (fuzz::body(random, &real), *random.one(STATUSES)),
            |(body, status)| {
                match (family.parse)(body) {
                    Ok(listing) => {
                        lists += 1;
                        for post in &listing.posts {
                            assert!(post.date.as_deref().is_none_or(dates::is_day), "{post:?}");
                            assert!(post.versions.iter().all(|v| !v.url.is_empty()), "{post:?}");
                            assert!(post.tags.iter().all(|t| !t.name.is_empty()), "{post:?}");
                            let known = |d: &str| d.starts_with("md5:") || d.starts_with("sha512:");
                            assert!(post.digest.as_deref().is_none_or(known), "{post:?}");
                        }
                    }
                    Err(fault) => {
                        refused += 1;
                        check_fault(&fault);
                    }
                }
                if let Some(count) = &family.count {
                    let _ = (count.parse)(body);
                }
                if let Some(tags) = &family.tags
                    && let Err(fault) = (tags.parse)(body)
                {
                    check_fault(&fault);
                }
                let headers = [("retry-after".to_owned(), String::from_utf8_lossy(body).into_owned())];
                check_fault(&faults::of_status(*status, &headers, body));
            },
        );
        if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
            assert!(lists > 50 && refused > 50, "{}: {lists} lists, {refused} faults", family.name);
        }
    }
}

#[test]
fn odd_searches_are_read_or_refused() {
    let real =
        ["lighthouse night -text", "order:score rating:general", "artist:ink well, safe", "score:>=10 date:2026-03-01"];
    fuzz::cases(
        4000,
        |random| (random.next(FAMILIES.len()), fuzz::text(random, &real), fuzz::text(random, &real)),
        |(family, tags, exclude)| {
            let family = &FAMILIES[*family];
            match Query::parse(family, tags, exclude) {
                Ok(query) => {
                    let _ = (query.is_sorted(), query.is_too_long(family, None));
                }
                Err(error) => assert!(!error.message.is_empty()),
            }
        },
    );
}

#[test]
fn odd_cursors_days_and_texts_are_taken_for_what_they_are() {
    let cursor = br#"{"at":{"below":7410051},"limit":200,"low":5,"listed":9,"given":7,"total":null}"#.to_vec();
    let real = [
        "2026-03-11T14:50:39.925-04:00",
        "Thu Mar 05 02:11:09 -0600 2026",
        "&lt;a href=&quot;x&quot;&gt; &#039;b&#x27;",
    ];
    fuzz::cases(
        4000,
        |random| (fuzz::body(random, std::slice::from_ref(&cursor)), fuzz::text(random, &real)),
        |(cursor, text)| {
            if let Ok(found) = Cursor::parse(&String::from_utf8_lossy(cursor)) {
                assert_eq!(Cursor::parse(&found.write()).unwrap(), found);
            }
            assert!(dates::of_text(text).as_deref().is_none_or(dates::is_day));
            let unix = text.chars().fold(0i64, |n, c| n.wrapping_mul(31).wrapping_add(i64::from(u32::from(c))));
            assert!(dates::of_unix(unix).as_deref().is_none_or(dates::is_day), "{unix}");
            assert!(fields::unescaped(text).len() <= text.len());
            let _ = (xml::read(text), xml::message(text));
        },
    );
}
