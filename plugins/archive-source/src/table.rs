//! Pictures that lie in a Parquet file, as the data sets of Hugging Face's hub have them: a column of records with `bytes` and
//! `path`, and one with captions.

use crate::bytes::Bytes;
use columns::{Leaf, Rows, Table, Value};
use std::sync::Arc;

/// Columns that may hold the caption, the first that is there.
const CAPTIONS: [&str; 5] = ["text", "caption", "prompt", "captions", "tags"];

/// One picture with what its row says.
pub(crate) struct Row {
    /// From 1 on.
    pub(crate) number: u64,
    /// Empty: the row has none.
    pub(crate) bytes: Vec<u8>,
    pub(crate) path: Option<String>,
    pub(crate) caption: Option<Caption>,
}

/// A text, or a list of tags.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Caption {
    Text(String),
    Tags(Vec<String>),
}

pub(crate) struct Pictures {
    table: Arc<Table<Bytes>>,
    /// Columns: pictures, their paths, captions.
    leaves: [Option<Leaf>; 3],
    caption: String,
    /// Where reading stands, so that the next page begins there.
    open: Option<(u64, [Option<Rows<Bytes>>; 3])>,
}

impl Pictures {
    /// `captions`: the column's name, empty for the first of those that are known; none: captions are not looked at.
    ///
    /// # Errors
    /// It is no such file.
    pub(crate) fn read(bytes: Bytes, captions: Option<&str>) -> Result<Self, String> {
        let table = Table::open(bytes)?;
        let names: Vec<String> = table.names().into_iter().map(str::to_owned).collect();
        let found = names.join(", ");
        let part = |name: &str, part: &str| {
            let fits = |leaf: &&Leaf| leaf.path[1..] == [part] && leaf.is_single() && leaf.readable().is_ok();
            table.parts(name).into_iter().find(fits).cloned()
        };
        let column = names.iter().find(|name| part(name, "bytes").is_some()).ok_or_else(|| {
            let list = if names.iter().any(|n| n == "file_name") {
                "; as a list of pictures in a folder it belongs beside them as metadata.parquet, which the node Folder of \
                 pictures reads"
            } else {
                ""
            };
            format!("no column with pictures: expected records of `bytes` and `path`, found the columns {found}{list}")
        })?;
        let caption = match captions {
            None => None,
            Some("") => CAPTIONS.into_iter().find(|c| names.iter().any(|n| n == c)),
            Some(name) => Some(name),
        };
        let leaf = |name: &str| {
            let error = |e| {
                format!("`{name}`: {e}; it has the columns {found}, `caption_column` says which holds the captions")
            };
            table.texts(name).cloned().map_err(error)
        };
        let leaves = [part(column, "bytes"), part(column, "path"), caption.map(leaf).transpose()?];
        Ok(Self { table, leaves, caption: caption.unwrap_or_default().to_owned(), open: None })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.table.rows()
    }

    /// The caption of every row that has one, and the numbers of those that have none.
    ///
    /// # Errors
    /// A caption cannot be read.
    pub(crate) fn without_caption(&self) -> Result<Vec<u64>, String> {
        let Some(leaf) = &self.leaves[2] else { return Ok((1..=self.rows()).collect()) };
        let mut missing = Vec::new();
        for (at, value) in self.table.read(leaf).enumerate() {
            let value = value.map_err(|e| format!("`{}`: {e}", self.caption))?;
            if caption(value, &self.caption)?.is_none() {
                missing.push(at as u64 + 1);
            }
        }
        Ok(missing)
    }

    /// Rows behind the first `from`, until there are `count` or they have `most` bytes. Of the last the picture may be
    /// beyond that.
    ///
    /// # Errors
    /// Damaged data, or of a kind that is not read.
    pub(crate) fn page(&mut self, from: u64, count: usize, most: u64) -> Result<Vec<Row>, String> {
        let mut columns = match self.open.take().filter(|(at, _)| *at == from) {
            Some((_, columns)) => columns,
            None => {
                let mut columns = self.leaves.each_ref().map(|leaf| leaf.as_ref().map(|leaf| self.table.read(leaf)));
                for rows in columns.iter_mut().flatten() {
                    rows.skip_rows(from)?;
                }
                columns
            }
        };
        let (mut out, mut bytes, mut at) = (Vec::new(), 0, from);
        while at < self.rows() && out.len() < count && bytes < most {
            let [picture, path, text] = &mut columns;
            let number = at + 1;
            let next = |rows: &mut Option<Rows<Bytes>>| match rows.as_mut().map(Iterator::next) {
                None => Ok(Value::Null),
                Some(Some(value)) => value.map_err(|e| format!("row {number}: {e}")),
                Some(None) => Err(format!("row {number}: a column ends early")),
            };
            let data = if let Value::Bytes(data) = next(picture)? { data } else { Vec::new() };
            let path = if let Value::Bytes(path) = next(path)? { String::from_utf8(path).ok() } else { None };
            let caption = caption(next(text)?, &self.caption).map_err(|e| format!("row {number}: {e}"))?;
            bytes += data.len() as u64;
            out.push(Row { number, bytes: data, path, caption });
            at += 1;
        }
        self.open = Some((at, columns));
        Ok(out)
    }
}

fn caption(value: Value, column: &str) -> Result<Option<Caption>, String> {
    let text = |bytes| String::from_utf8(bytes).map_err(|e| format!("`{column}`: expected UTF-8 ({e})"));
    Ok(match value {
        Value::Null => None,
        Value::Bytes(bytes) => Some(text(bytes)?).filter(|t| !t.trim().is_empty()).map(Caption::Text),
        Value::List(all) => {
            let all = all.into_iter().flatten().map(text).collect::<Result<Vec<_>, _>>()?;
            let all: Vec<String> = all.iter().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect();
            (!all.is_empty()).then_some(Caption::Tags(all))
        }
    })
}
