//! Answers that are wrong: of captioners, filters and evaluators.

use super::{Home, Installed, Row, answers, caption, limits, requests, says};
use data::{FilterRequest, Sample};
use loader::CallContext;
use serde_json::json;
use spec::{Annotation, Tag};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const GOES_ON: &str = "the other pictures are described";

pub(crate) fn rows() -> Vec<Row> {
    let row = |does, happens, check| Row { does, happens, after: GOES_ON, within: SOON, check };
    vec![
        row(
            "answers more pictures than it was asked for",
            "the batch is asked again one by one; the picture fails",
            || says(caption(Home::Wasm, "too-many", limits(5.0)), &["image 2 of 3", "expected 1 answers, found 2"]),
        ),
        row("answers fewer", "the same", || {
            says(caption(Home::Wasm, "too-few", limits(5.0)), &["image 2 of 3", "expected 1 answers, found 0"])
        }),
        Row {
            does: "answers in another order",
            happens: "**nothing: nobody can tell.** A batch of one has no order",
            after: "wrong captions, as from any bad captioner",
            within: SOON,
            check: reversed,
        },
        row("gives a score that is no number", "the picture fails; the tag is named", || {
            says(caption(Home::Wasm, "nan", limits(5.0)), &["image 2 of 3", "the score of `a` is no number"])?;
            let native = caption(Home::Process, "nan", limits(5.0))?;
            if !native.contains("the score of `a` is no number") {
                return Err(native);
            }
            says(caption(Home::Wasm, "infinite", limits(5.0)), &["no number, but inf"])
        }),
        row("answers a gigabyte", "refused at its own memory's cap", || {
            says(caption(Home::Wasm, "one-gigabyte", limits(10.0)), &["image 2 of 3", "limit is 64 MiB"])
        }),
        row("answers a caption of 100 MiB", "refused: more than a caption may have", || {
            let roomy = loader::Limits { memory: 400 << 20, ..limits(20.0) };
            says(caption(Home::Wasm, "long-text", roomy), &["image 2 of 3"])
        }),
        row("answers 200,000 tags, or one of 5,000 bytes", "refused, with the number that may be", || {
            says(caption(Home::Wasm, "many-tags", limits(10.0)), &["image 2 of 3", "50000 tags, found 200000"])?;
            says(caption(Home::Wasm, "long-tag", limits(5.0)), &["a tag may have 4096 bytes, found 5000"])
        }),
        row(
            "hides characters in tags: NUL, bells, changes of direction",
            "written out, as `\\u{202e}`, for all to see",
            || {
                let found = answers(caption(Home::Wasm, "odd-tags", limits(5.0)), &["red hair"])?;
                match ["a\\\\u{0}b", "exe\\\\u{202e}gnp", "bell\\\\u{7}"].iter().find(|w| !found.contains(**w)) {
                    Some(missing) => Err(format!("{missing} is not in {found}")),
                    None => Ok(found),
                }
            },
        ),
        row("puts 200,000 open brackets where JSON belongs", "refused as no JSON", || {
            says(caption(Home::Wasm, "deep-extra", limits(5.0)), &["image 2 of 3", "`extra` is no JSON"])
        }),
        row("has a PNG of 60,000×60,000 pixels decoded", "refused before there is room made for it", || {
            says(caption(Home::Wasm, "png-bomb", limits(10.0)), &["image 2 of 3", "pixels"])
        }),
        row("has a JPEG of 65,500×65,500 pixels decoded", "the same", || {
            says(caption(Home::Wasm, "jpeg-bomb", limits(10.0)), &["image 2 of 3", "pixels"])
        }),
        row("has an archive, or half a picture, decoded", "an error that it sees: archives are not unpacked", || {
            says(caption(Home::Wasm, "zip-bomb", limits(5.0)), &["image 2 of 3"])?;
            says(caption(Home::Wasm, "broken-png", limits(5.0)), &["image 2 of 3"])
        }),
        row("stores more than its quota", "an error that it sees; it names `storage-mib`", || {
            says(caption(Home::Wasm, "store", limits(10.0)), &["image 2 of 3", "storage-mib"])
        }),
        Row {
            does: "as a tag filter: panics, answers too little, or makes scores no numbers",
            happens: "the call fails and names the item",
            after: "the filter goes on with the next",
            within: SOON,
            check: filter,
        },
        Row {
            does: "as an evaluator: panics, or scores what it did not announce",
            happens: "the call fails and names the sample; a score that is no number means «does not apply»",
            after: "the evaluator goes on, and has not forgotten the others",
            within: SOON,
            check: evaluator,
        },
    ]
}

fn reversed() -> Result<String, String> {
    let installed = Installed::new(Home::Wasm, limits(5.0), &[]);
    let mut captioner = installed.open(&json!({"how": "reversed"}));
    let texts = |widths: &[u32]| -> Vec<String> { widths.iter().map(|w| format!("{w} wide")).collect() };
    let found: Vec<String> = captioner
        .caption(requests(&[7, 13, 9]))
        .map_err(|e| e.to_string())?
        .into_iter()
        .filter_map(|a| a.ok()?.text)
        .collect();
    // If this ever fails, something tells the order: then the page must say what.
    if found != texts(&[9, 13, 7]) {
        return Err(format!("expected the wrong order, found {found:?}"));
    }
    Ok(format!("{found:?}"))
}

fn filter() -> Result<String, String> {
    let item = |id: &str| {
        let tags = vec![Tag { name: "a".into(), score: Some(0.5), category: None }];
        FilterRequest { id: id.into(), subset: String::new(), annotation: Annotation { tags, ..Annotation::default() } }
    };
    let mut said = String::new();
    for (how, word) in [("panic", "where the plugin panics"), ("too-few", "expected 1"), ("nan", "no number")] {
        let installed = Installed::new(Home::Wasm, limits(5.0), &[]);
        let opened = installed.plugin.open_tag_filter(&json!({ "how": how }), CallContext::default());
        let mut filter = opened.map_err(|e| e.to_string())?;
        let error = filter.apply(&[item("x"), item("bad"), item("y")]).err().ok_or("it was let through")?;
        said = says(Ok(error.message), &["item `bad`", word])?;
        let next = filter.apply(&[item("x"), item("y")]).map_err(|e| e.to_string())?;
        if next.len() != 2 {
            return Err(format!("{next:?}"));
        }
    }
    Ok(said)
}

fn evaluator() -> Result<String, String> {
    let sample = |id: &str| Sample {
        id: id.into(),
        image: requests(&[9]).remove(0).image,
        prompt: String::new(),
        reference: None,
        seed: None,
        extra: None,
    };
    let mut said = String::new();
    for (how, word) in [("panic", "where the plugin panics"), ("unknown-metric", "`height` is none of the metrics")] {
        let installed = Installed::new(Home::Wasm, limits(5.0), &[]);
        let opened = installed.plugin.open_evaluator(&json!({ "how": how }), CallContext::default());
        let mut evaluator = opened.map_err(|e| e.to_string())?;
        evaluator.add(vec![sample("x")]).map_err(|e| e.to_string())?;
        let error = evaluator.add(vec![sample("y"), sample("bad")]).err().ok_or("it was let through")?;
        said = says(Ok(error.message), &["sample `bad`", word])?;
        let scores = evaluator.add(vec![sample("z")]).map_err(|e| e.to_string())?;
        if scores[0][0].value.to_bits() != 9_f64.to_bits() {
            return Err(format!("{scores:?}"));
        }
    }
    Ok(said)
}
