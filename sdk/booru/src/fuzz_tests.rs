//! Tag names, patterns and label lists that nobody would write. See `plugin_test::fuzz`.

use crate::labels::{Category, parse};
use crate::names::{key, list, matches};
use crate::scores::{LEAST, Scores, Thresholds, mcut};
use plugin_test::fuzz;

/// What `*` means, said as plainly as possible.
fn plainly(pattern: &[char], name: &[char]) -> bool {
    let mut row = vec![false; name.len() + 1];
    row[0] = true;
    for p in pattern {
        let mut next = vec![false; name.len() + 1];
        next[0] = *p == '*' && row[0];
        for (j, c) in name.iter().enumerate() {
            next[j + 1] = if *p == '*' { row[j + 1] || next[j] } else { row[j] && p == c };
        }
        row = next;
    }
    row[name.len()]
}

#[test]
fn patterns_match_what_they_say() {
    fuzz::cases(
        20_000,
        |random| {
            let short = |random: &mut fuzz::Random, of: &[char]| -> Vec<char> {
                (0..random.next(9)).map(|_| *random.one(of)).collect()
            };
            (short(random, &['a', 'b', '*', 'é']), short(random, &['a', 'b', 'é', '_']))
        },
        |(pattern, name)| {
            let text = |c: &[char]| c.iter().collect::<String>();
            assert_eq!(matches(&text(pattern), &text(name)), plainly(pattern, name));
        },
    );
}

#[test]
fn names_have_one_key_and_lists_no_empty_parts() {
    fuzz::cases(
        10_000,
        |random| fuzz::text(random, &["saber_(fate)", "Long Hair", ">_<", "a, b\nc"]),
        |text| {
            assert!(list(text).all(|part| !part.is_empty() && part == part.trim()));
            for part in list(text).take(4) {
                assert!(matches("*", &key(part)) && !key(part).contains(' '));
            }
        },
    );
}

#[test]
fn odd_label_lists_are_read_or_refused_by_line() {
    let real = [
        b"tag_id,name,category,count\n9999999,general,9,807858\n470575,1girl,0,4225150\n3,\"a,\"\"b\",4,1\n".to_vec(),
        b"name,category\nx,0\n".to_vec(),
    ];
    fuzz::cases(
        5000,
        |random| (fuzz::body(random, &real), *random.one(&[0.5, f32::NAN, f32::INFINITY, -1.0])),
        |(bytes, score)| match parse(&String::from_utf8_lossy(bytes)) {
            Ok(labels) => {
                let mut scores = vec![*score; labels.len()];
                if let Some(first) = scores.first_mut() {
                    *first = 0.75;
                }
                let kept = Scores::new(&labels, &scores, LEAST);
                for mcut in [false, true] {
                    let chosen = kept.choose(&Thresholds { general: 0.35, character: 0.85, others: [].into(), mcut });
                    assert!(chosen.len() <= labels.len());
                }
                let rated = labels.iter().any(|label| label.category == Category::Rating);
                assert_eq!(kept.best(Category::Rating).is_some(), rated);
                let _ = mcut(&scores);
            }
            Err(message) => assert!(message.contains("label list"), "{message}"),
        },
    );
}

#[test]
fn odd_lists_of_thresholds_are_read_or_refused() {
    fuzz::cases(
        5000,
        |random| fuzz::text(random, &["copyright = 0.5, meta = off", "general=0.1", "artist = NaN"]),
        |text| match Thresholds::others(text) {
            Ok(read) => assert!(read.values().all(|s| (0.0..=1.0).contains(s) || *s == f32::INFINITY)),
            Err(message) => assert!(message.contains('`'), "{message}"),
        },
    );
}
