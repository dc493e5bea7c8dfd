use super::extra;
use crate::files;
use anyhow::bail;
use data::{Dataset, Item, quality};
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::{Value, json};
use spec::Inputs;
use std::sync::Arc;

/// Orders a data set by how suspicious its captions are, the worst first, and lists what is wrong with them. Checked by
/// `anagama.caption-check` before. What `CheckPictures` found and did not allow counts as well.
#[derive(Inputs)]
pub(crate) struct ReviewCaptions {
    /// The data set, with captions that were checked.
    dataset: Arc<Dataset>,
    /// Captions and pictures from this suspicion on are listed.
    #[input(default = 0.25, range = 0.0..=1.0, step = 0.05)]
    least: f64,
    /// Which pictures go on: all, those that are not listed, or those that are.
    #[input(default = "all", options = ["all", "good", "listed"])]
    pass: String,
    /// Name of the JSON file below the output folder.
    #[input(default = "review.json")]
    filename: String,
}

impl TypedNode for ReviewCaptions {
    const ID: &'static str = "ReviewCaptions";
    const CATEGORY: &'static str = "dataset";
    const DISPLAY_NAME: &'static str = "Review captions";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["dataset", "review"];
    type Output = WithUi<(Arc<Dataset>, Value)>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let mut rows: Vec<(f64, Value, Value, &Item)> = Vec::new();
        for item in &self.dataset.items {
            let mut notes = extra(item);
            let mut check = |key: &str| notes.get_mut(key).map(Value::take).unwrap_or_default();
            let (mut caption, mut picture) = (check("caption_check"), check("picture_check"));
            let Some(suspicion) = caption["suspicion"].as_f64() else {
                bail!("{}: its caption was not checked; put `anagama.caption-check` in front", item.id);
            };
            let suspicion = both(suspicion, &picture);
            let problems = |check: &mut Value| check.get_mut("problems").map(Value::take).unwrap_or_else(|| json!([]));
            rows.push((suspicion, problems(&mut caption), problems(&mut picture), item));
        }
        // Stable: what is equally suspicious keeps its order.
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        let listed = |suspicion: f64| suspicion > 0.0 && suspicion >= self.least;
        let list: Vec<Value> = rows
            .iter()
            .filter(|r| listed(r.0))
            .map(|(suspicion, problems, picture, item)| {
                let caption = item.caption();
                json!({
                    "id": item.id, "suspicion": suspicion, "problems": problems, "picture": picture, "caption": caption,
                })
            })
            .collect();
        let passes = |suspicion: f64| match self.pass.as_str() {
            "good" => !listed(suspicion),
            "listed" => listed(suspicion),
            _ => true,
        };
        let items: Vec<Item> = rows.iter().filter(|r| passes(r.0)).map(|r| r.3.clone()).collect();
        let mut notes = self.dataset.notes.clone();
        if items.len() < rows.len() {
            notes.push(format!("{} of {} pictures left out by the review", rows.len() - items.len(), rows.len()));
        }
        let mut lines = vec![format!("{} of {} captions and pictures are suspicious", list.len(), rows.len())];
        lines.extend(list.iter().take(20).map(|row| {
            let all = ["problems", "picture"].into_iter().filter_map(|key| row[key].as_array()).flatten();
            let problems: Vec<&str> = all.filter_map(Value::as_str).collect();
            format!(
                "{:.2} {}: {}",
                row["suspicion"].as_f64().unwrap_or(0.0),
                row["id"].as_str().unwrap_or(""),
                problems.join("; ")
            )
        }));
        let review = Value::Array(list);
        let (path, sha256) = files::save(ctx, &self.filename, &serde_json::to_vec_pretty(&review)?)?;
        let text = lines.join("\n");
        let dataset = Arc::new(Dataset { items, notes });
        Ok(WithUi::new((dataset, review)).show("text", json!([text])).file(&path, sha256.as_str()))
    }
}

/// The suspicion of a caption and of what was found against its picture and not allowed, from 0 to 1.
fn both(caption: f64, picture: &Value) -> f64 {
    let names = |key: &str| picture[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    let told = names("checks").filter(|check| !names("allowed").any(|allowed| allowed == *check));
    let suspicion = 1.0 - (1.0 - caption) * (1.0 - quality::suspicion(told));
    (suspicion * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use crate::testing::{host, output, run, value};
    use data::{Dataset, Item};
    use serde_json::{Value, json};
    use spec::Annotation;
    use std::sync::Arc;

    fn set(rows: &[(&str, Option<f64>)]) -> Arc<Dataset> {
        let item = |(id, suspicion): &(&str, Option<f64>)| {
            let extra = suspicion.map(|s| json!({"caption_check": {"suspicion": s, "problems": ["odd"]}}).to_string());
            let annotation = Annotation { text: Some("A hat.".into()), extra, ..Annotation::default() };
            Item { id: (*id).into(), annotation, ..Item::default() }
        };
        Arc::new(Dataset { items: rows.iter().map(item).collect(), notes: vec![] })
    }

    #[test]
    fn the_most_suspicious_come_first() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let checked = set(&[("a", Some(0.0)), ("b", Some(0.3)), ("c", Some(0.9)), ("d", Some(0.3)), ("e", Some(0.1))]);
        let review = |pass: &str| {
            let out = run(&ctx, "ReviewCaptions", vec![("dataset", value(&checked)), ("pass", pass.into())]).unwrap();
            let ids: Vec<String> = output::<Dataset>(&out, 0).items.iter().map(|i| i.id.clone()).collect();
            (ids.join(""), out)
        };
        let (all, out) = review("all");
        assert_eq!(all, "cbdea");
        assert_eq!(review("good").0, "ea");
        assert_eq!(review("listed").0, "cbd");
        let spec::Value::Data(rows) = &out.values[1] else { panic!() };
        assert_eq!(
            (rows.as_array().unwrap().len(), &rows[0]["id"], &rows[0]["caption"]),
            (3, &json!("c"), &json!("A hat."))
        );
        let path = out.ui["files"][0]["path"].as_str().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap(), *rows);
        assert_eq!(rows[0]["picture"], json!([]), "no picture was checked");
        let unchecked = set(&[("a", None)]);
        let e = run(&ctx, "ReviewCaptions", vec![("dataset", value(&unchecked))]).unwrap_err();
        assert!(e.to_string().contains("caption-check"), "{e}");
    }

    #[test]
    fn what_was_found_against_pictures_counts_and_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let mut checked =
            Dataset::clone(&set(&[("a", Some(0.3)), ("b", Some(0.0)), ("c", Some(0.2)), ("d", Some(0.0))]));
        let mut found = |at: usize, checks: &[&str], allowed: &[&str]| {
            let problems: Vec<String> = checks.iter().map(|check| format!("it is {check}")).collect();
            let found = json!({"checks": checks, "problems": problems, "allowed": allowed});
            super::super::duplicates::mark(&mut checked.items[at], "picture_check", found);
        };
        found(1, &["tiny", "watermark"], &["watermark"]);
        found(2, &["dark"], &[]);
        found(3, &["blur"], &["blur"]);
        let inputs = vec![("dataset", value(&Arc::new(checked)))];
        let out = run(&ctx, "ReviewCaptions", inputs).unwrap();
        let ids: Vec<String> = output::<Dataset>(&out, 0).items.iter().map(|i| i.id.clone()).collect();
        assert_eq!(ids, ["b", "c", "a", "d"]);
        let spec::Value::Data(rows) = &out.values[1] else { panic!() };
        // Half of the trust is left of a tiny picture; of the dark one 0.8 · 0.7.
        let suspicions: Vec<f64> = rows.as_array().unwrap().iter().map(|r| r["suspicion"].as_f64().unwrap()).collect();
        assert_eq!(suspicions, [0.5, 0.44, 0.3]);
        assert_eq!(rows[0]["picture"], json!(["it is tiny", "it is watermark"]));
        assert_eq!((&rows[1]["problems"], &rows[1]["picture"]), (&json!(["odd"]), &json!(["it is dark"])));
        let text = out.ui["text"][0].as_str().unwrap();
        assert!(text.starts_with("3 of 4 captions and pictures are suspicious\n0.50 b: odd; it is tiny; "), "{text}");
    }
}
