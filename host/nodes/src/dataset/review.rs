use crate::files;
use anyhow::bail;
use data::{Dataset, Item};
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::{Value, json};
use spec::Inputs;
use std::sync::Arc;

/// Orders a data set by how suspicious its captions are, the worst first, and lists what is wrong with them. Checked by
/// `anagama.caption-check` before.
#[derive(Inputs)]
pub(crate) struct ReviewCaptions {
    /// The data set, with captions that were checked.
    dataset: Arc<Dataset>,
    /// Captions from this suspicion on are listed.
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
        let mut rows: Vec<(f64, Value, &Item)> = Vec::new();
        for item in &self.dataset.items {
            let check = check(item);
            let Some(suspicion) = check["suspicion"].as_f64() else {
                bail!("{}: its caption was not checked; put `anagama.caption-check` in front", item.id);
            };
            rows.push((suspicion, check["problems"].clone(), item));
        }
        // Stable: what is equally suspicious keeps its order.
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        let listed = |suspicion: f64| suspicion > 0.0 && suspicion >= self.least;
        let list: Vec<Value> = rows
            .iter()
            .filter(|r| listed(r.0))
            .map(|(suspicion, problems, item)| {
                json!({"id": item.id, "suspicion": suspicion, "problems": problems, "caption": item.caption()})
            })
            .collect();
        let passes = |suspicion: f64| match self.pass.as_str() {
            "good" => !listed(suspicion),
            "listed" => listed(suspicion),
            _ => true,
        };
        let items: Vec<Item> = rows.iter().filter(|r| passes(r.0)).map(|r| r.2.clone()).collect();
        let mut notes = self.dataset.notes.clone();
        if items.len() < rows.len() {
            notes.push(format!("{} of {} pictures left out by their captions", rows.len() - items.len(), rows.len()));
        }
        let mut lines = vec![format!("{} of {} captions are suspicious", list.len(), rows.len())];
        lines.extend(list.iter().take(20).map(|row| {
            let problems: Vec<&str> =
                row["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
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

fn check(item: &Item) -> Value {
    let extra = item.annotation.extra.as_deref().and_then(|e| serde_json::from_str::<Value>(e).ok());
    extra.map(|mut e| e["caption_check"].take()).unwrap_or_default()
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
        let unchecked = set(&[("a", None)]);
        let e = run(&ctx, "ReviewCaptions", vec![("dataset", value(&unchecked))]).unwrap_err();
        assert!(e.to_string().contains("caption-check"), "{e}");
    }
}
