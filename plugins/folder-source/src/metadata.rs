//! Lists that say what pictures show: `metadata.jsonl`, `metadata.csv` and `metadata.parquet` as Hugging Face's `imagefolder`
//! reads them, and the metadata of sd-scripts (one JSON object, a key for each picture).

use crate::captions::{self, Format};
use crate::parquet;
use plugin_sdk::Annotation;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Names of the lists that are looked for in every folder.
pub(crate) const NAMES: [&str; 3] = ["metadata.jsonl", "metadata.csv", "metadata.parquet"];
/// Columns that may hold the caption, the first that is there.
pub(crate) const COLUMNS: [&str; 5] = ["text", "caption", "prompt", "captions", "tags"];
/// The column with the picture's path below the list's folder.
pub(crate) const FILE: &str = "file_name";

/// What a list says: captions by the pictures' paths. A picture may be listed without a caption.
pub(crate) type Listed = BTreeMap<String, Option<Annotation>>;

/// How a list is read.
pub(crate) struct Reading<'a> {
    /// Name of the column; empty: the first of those that are known.
    pub(crate) column: &'a str,
    pub(crate) format: Format,
}

/// Reads a list. `path` is its own, below the folder.
///
/// # Errors
/// Every row that cannot be used, with its line.
pub(crate) fn read(path: &str, bytes: &[u8], reading: &Reading<'_>) -> Result<Listed, String> {
    let text = || {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("{path}: expected UTF-8 ({e})"))?;
        Ok::<_, String>(text.trim_start_matches('\u{feff}'))
    };
    let (unit, rows) = match path.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).as_deref() {
        Some("jsonl") => ("line", json_lines(text()?)),
        Some("csv") => ("line", comma_separated(text()?)),
        Some("parquet") => ("row", parquet::rows(bytes, reading.column).map_err(|e| format!("{path}: {e}"))?),
        _ => return Err(format!("{path}: expected a list in .jsonl, .csv or .parquet")),
    };
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (mut out, mut faults) = (Listed::new(), Vec::new());
    for (line, row) in rows {
        let taken = row.and_then(|row| take(&row, reading));
        match taken.and_then(|(name, caption)| Ok((below(folder, &name)?, caption))) {
            Ok((name, caption)) => {
                if out.insert(name.clone(), caption).is_some() {
                    faults.push(format!("{unit} {line}: `{name}` for the second time"));
                }
            }
            Err(e) => faults.push(format!("{unit} {line}: {e}")),
        }
    }
    if faults.is_empty() { Ok(out) } else { Err(format!("{path}: {}", crate::names(&faults))) }
}

/// Number of a line or row, and what it says by columns.
pub(crate) type Row = (usize, Result<Map<String, Value>, String>);

fn json_lines(text: &str) -> Vec<Row> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let row = match serde_json::from_str(line) {
                Ok(Value::Object(row)) => Ok(row),
                Ok(_) => Err("expected an object {…}".to_owned()),
                Err(e) => Err(format!("no JSON: {e}")),
            };
            (at + 1, row)
        })
        .collect()
}

fn comma_separated(text: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = match reader.headers() {
        Ok(head) => head.clone(),
        Err(e) => return vec![(1, Err(e.to_string()))],
    };
    let mut rows = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let line = record.as_ref().ok().and_then(|r| r.position()).map_or(at + 2, |p| p.line() as usize);
        let row = record.map_err(|e| e.to_string()).map(|record| {
            let cells = head.iter().zip(record.iter());
            cells.map(|(name, cell)| (name.trim().to_owned(), Value::from(cell))).collect()
        });
        rows.push((line, row));
    }
    rows
}

/// Path and caption of a row.
fn take(row: &Map<String, Value>, reading: &Reading<'_>) -> Result<(String, Option<Annotation>), String> {
    let columns = || row.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let name = row.get(FILE).and_then(Value::as_str).filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(|| format!("expected `{FILE}`, found the columns {}", columns()))?;
    let column = match reading.column {
        "" => COLUMNS.into_iter().find(|c| row.contains_key(*c)),
        column => Some(column),
    };
    let Some(column) = column else {
        return Err(format!(
            "no column with a caption: expected {}, found {}; name yours in `caption_column`",
            COLUMNS.join(", "),
            columns()
        ));
    };
    let value = row.get(column).ok_or_else(|| format!("no column `{column}`, found {}", columns()))?;
    Ok((name.to_owned(), annotation(value, reading.format).map_err(|e| format!("`{column}` {e}"))?))
}

/// A caption, or a list of tags.
fn annotation(value: &Value, format: Format) -> Result<Option<Annotation>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => captions::parse(text.as_bytes(), format).map(Some),
        Value::Array(all) if all.iter().all(Value::is_string) => {
            let text = all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
            if text.is_empty() { Ok(None) } else { captions::parse(text.as_bytes(), Format::Tags).map(Some) }
        }
        other => Err(format!("expected a text or a list of texts, found {other}")),
    }
}

/// The path of what a list in `folder` names.
pub(crate) fn below(folder: &str, name: &str) -> Result<String, String> {
    let name = name.replace('\\', "/");
    let name = name.trim_start_matches("./");
    if name.starts_with('/') || name.split('/').any(|part| part == "..") || name.get(1..2) == Some(":") {
        return Err(format!("`{name}`: expected a path below the list's own folder"));
    }
    let parts = folder.split('/').chain(name.split('/')).filter(|part| !part.is_empty() && *part != ".");
    Ok(parts.collect::<Vec<_>>().join("/"))
}

/// The metadata of sd-scripts: captions and tags by what the keys name, a path or a name with or without its ending.
///
/// # Errors
/// It is no such object.
pub(crate) fn of_sd_scripts(path: &str, bytes: &[u8], format: Format) -> Result<Listed, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| format!("{path}: no JSON: {e}"))?;
    let Value::Object(all) = value else {
        return Err(format!("{path}: expected an object with a key for each picture"));
    };
    let mut out = Listed::new();
    for (name, about) in all {
        let text = |key: &str| about[key].as_str().map(str::trim).filter(|t| !t.is_empty());
        let caption = match (text("caption"), text("tags")) {
            (Some(caption), Some(tags)) => Some(format!("{caption}, {tags}")),
            (one, two) => one.or(two).map(str::to_owned),
        };
        let caption = caption.map(|text| captions::parse(text.as_bytes(), format)).transpose();
        out.insert(name.clone(), caption.map_err(|e| format!("{path}: `{name}`: {e}"))?);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: Reading<'static> = Reading { column: "", format: Format::Auto };

    #[test]
    fn lists_of_both_kinds_say_the_same() {
        let json = "{\"file_name\": \"a/1.png\", \"text\": \"A girl waits in the rain.\", \"n\": 1}\n\n\
                    {\"file_name\": \"./2.png\", \"text\": \"1girl, solo\"}\n{\"file_name\": \"3.png\", \"text\": null}\n";
        let csv = "file_name,text\na/1.png,A girl waits in the rain.\n./2.png,\"1girl, solo\"\n3.png,\n";
        let first = read("train/metadata.jsonl", json.as_bytes(), &READING).unwrap();
        assert_eq!(first, read("train/metadata.csv", csv.as_bytes(), &READING).unwrap());
        let names: Vec<&str> = first.keys().map(String::as_str).collect();
        assert_eq!(names, ["train/2.png", "train/3.png", "train/a/1.png"]);
        assert_eq!(first["train/2.png"].as_ref().unwrap().tags.len(), 2);
        assert!(first["train/a/1.png"].as_ref().unwrap().text.is_some() && first["train/3.png"].is_none());
        let tags = "{\"file_name\": \"1.png\", \"tags\": [\"hat\", \"red coat\"]}";
        assert_eq!(read("metadata.jsonl", tags.as_bytes(), &READING).unwrap()["1.png"].as_ref().unwrap().tags.len(), 2);
    }

    #[test]
    fn a_list_in_parquet_says_the_same_as_one_in_json() {
        let json = "{\"file_name\": \"a/1.png\", \"text\": \"A girl waits in the rain.\"}\n\
                    {\"file_name\": \"2.png\", \"text\": \"hat, coat\"}\n{\"file_name\": \"3.png\", \"text\": null}\n\
                    {\"file_name\": \"ä4.png\", \"text\": \"hat, coat\"}\n{\"file_name\": \"5.png\", \"text\": \"\"}\n";
        let expected = read("train/metadata.jsonl", json.as_bytes(), &READING).unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/columns/samples");
        for name in ["plain", "snappy", "gzip"] {
            let bytes = std::fs::read(format!("{folder}/{name}.parquet")).unwrap();
            assert_eq!(read("train/metadata.parquet", &bytes, &READING).unwrap(), expected, "{name}");
        }
        let bytes = std::fs::read(format!("{folder}/plain.parquet")).unwrap();
        let tags = Reading { column: "tags", format: Format::Auto };
        let e = read("metadata.parquet", &bytes, &tags).unwrap_err();
        assert!(e.contains("row 4: `tags` expected a text or a list of texts, found [\"sea\",null]"), "{e}");
    }

    #[test]
    fn faults_are_named_with_their_lines() {
        let of = |text: &str, column: &str| {
            let reading = Reading { column, format: Format::Auto };
            read("metadata.jsonl", text.as_bytes(), &reading).unwrap_err()
        };
        let e = of("{\"text\": \"a\"}\nnonsense\n{\"file_name\": \"../x.png\", \"text\": \"a\"}\n[1]", "");
        for part in
            ["line 1: expected `file_name`, found the columns text", "line 2: no JSON", "line 3: `../x.png`", "line 4"]
        {
            assert!(e.contains(part), "{part} not in {e}");
        }
        assert!(of("{\"file_name\": \"a\", \"blip\": \"a\"}", "").contains("name yours in `caption_column`"));
        assert!(of("{\"file_name\": \"a\", \"text\": \"a\"}", "blip").contains("no column `blip`"));
        assert!(of("{\"file_name\": \"a\", \"text\": 7}", "").contains("expected a text or a list of texts, found 7"));
        let twice = "{\"file_name\": \"a\", \"text\": \"a\"}\n{\"file_name\": \"./a\", \"text\": \"b\"}";
        assert!(of(twice, "").contains("line 2: `a` for the second time"));
        let e = read("metadata.parquet", b"PAR1", &READING).unwrap_err();
        assert_eq!(e, "metadata.parquet: the Parquet file is cut off: its footer is missing");
    }
}
