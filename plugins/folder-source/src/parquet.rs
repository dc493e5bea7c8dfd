//! `metadata.parquet`: the rows of a list, as far as they say which picture it is and what it shows.

use crate::metadata::{COLUMNS, FILE, Row};
use columns::{Rows, Table, Value};
use serde_json::{Map, Value as Json};

/// Rows of a list. More are a mistake, or meant as one.
const MAX_ROWS: u64 = 500_000;
/// Bytes of all texts. A dictionary says a text once, and may mean it a million times.
const MAX_TEXTS: usize = 32 << 20;

/// The rows of a list with the columns that count: the file's name and the caption. An empty `column` is the first of those that
/// are known.
///
/// # Errors
/// It is no Parquet file that can be read, or lacks a column.
pub(crate) fn rows(bytes: &[u8], column: &str) -> Result<Vec<Row>, String> {
    let table = Table::open(bytes.to_vec())?;
    let names = table.names();
    let found = names.join(", ");
    if !names.contains(&FILE) {
        let within = names.iter().any(|n| table.parts(n).iter().any(|p| p.path[1..] == ["bytes"]));
        let hint = if within { "; its pictures lie in itself, which the node Pictures in archives reads" } else { "" };
        return Err(format!("expected `{FILE}`, found the columns {found}{hint}"));
    }
    let caption = match column {
        "" => COLUMNS.into_iter().find(|c| names.contains(c)),
        column => Some(column),
    };
    let caption = caption.ok_or_else(|| {
        let all = COLUMNS.join(", ");
        format!("no column with a caption: expected {all}, found {found}; name yours in `caption_column`")
    })?;
    if !names.contains(&caption) {
        return Err(format!("no column `{caption}`, found {found}"));
    }
    if table.rows() > MAX_ROWS {
        return Err(format!("a list may have {MAX_ROWS} rows, found {}", table.rows()));
    }
    let column = |name: &str| table.texts(name).map(|leaf| table.read(leaf)).map_err(|e| format!("`{name}`: {e}"));
    let (files, captions): (Rows<_>, Rows<_>) = (column(FILE)?, column(caption)?);
    let (mut out, mut bytes) = (Vec::new(), 0);
    for (at, (file, text)) in files.zip(captions).enumerate() {
        let file = file.map_err(|e| format!("`{FILE}`: {e}"))?;
        let text = text.map_err(|e| format!("`{caption}`: {e}"))?;
        bytes += size(&file) + size(&text);
        if bytes > MAX_TEXTS {
            return Err(format!("its texts have more than {} MiB", MAX_TEXTS >> 20));
        }
        let row = || {
            let mut row = Map::new();
            row.insert(FILE.to_owned(), json(file).map_err(|e| format!("`{FILE}`: {e}"))?);
            row.insert(caption.to_owned(), json(text).map_err(|e| format!("`{caption}`: {e}"))?);
            Ok(row)
        };
        out.push((at + 1, row()));
    }
    Ok(out)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Null => 1,
        Value::Bytes(bytes) => bytes.len() + 1,
        Value::List(all) => all.iter().flatten().map(|b| b.len() + 1).sum::<usize>() + all.len() + 1,
    }
}

fn json(value: Value) -> Result<Json, String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map(Json::String).map_err(|e| format!("expected UTF-8 ({e})"));
    match value {
        Value::Null => Ok(Json::Null),
        Value::Bytes(bytes) => text(bytes),
        Value::List(all) => all.into_iter().map(|one| one.map_or(Ok(Json::Null), text)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/columns/samples");
        std::fs::read(format!("{folder}/{name}.parquet")).unwrap()
    }

    #[test]
    fn what_is_missing_or_odd_is_named() {
        let e = |name: &str, column: &str| rows(&sample(name), column).unwrap_err();
        assert!(
            e("images", "").contains("expected `file_name`, found the columns image, text; its pictures lie in itself")
        );
        assert_eq!(e("plain", "blip"), "no column `blip`, found n, objects, file_name, text, tags, size");
        assert_eq!(e("plain", "n"), "`n`: expected texts, found numbers (INT64)");
        assert!(e("zstd", "").contains("`file_name`: it is packed by Zstandard"));
        assert!(e("delta", "").starts_with("`text`: its texts are written in the encoding DELTA_BYTE_ARRAY"));
        let tags = rows(&sample("snappy"), "tags").unwrap();
        assert_eq!(tags[3].1.as_ref().unwrap()["tags"], serde_json::json!(["sea", null]));
        assert_eq!(tags[2].1.as_ref().unwrap()["tags"], Json::Null);
    }
}
