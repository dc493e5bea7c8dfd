//! Results that outlive the process: one row per socket type that can be stored.

mod objects;

use anyhow::{Context as _, bail};
use data::Store;
use engine::{Outputs, ResultCache};
use objects::CODECS;
use serde_json::{Value as Json, json};
use spec::{Object, Socket, Value};
use std::sync::Arc;

/// How objects of one socket type become text and files of the store, and back.
pub(crate) struct Codec {
    pub(crate) socket: &'static str,
    pub(crate) encode: fn(&Object, &Store) -> anyhow::Result<Json>,
    pub(crate) decode: fn(Json, &Store) -> anyhow::Result<Object>,
}

/// A cache of node results in the store.
pub fn result_cache(store: Arc<Store>) -> Arc<dyn ResultCache> {
    Arc::new(Results { store })
}

/// Is there a codec for this type?
pub(crate) fn can_store(socket: &Socket) -> bool {
    matches!(socket, Socket::Int | Socket::Float | Socket::Boolean | Socket::Text | Socket::Json)
        || CODECS.iter().any(|c| c.socket == socket.name())
}

struct Results {
    store: Arc<Store>,
}

const KIND: &str = "results";
/// Raised when the form of the records changes; part of their key.
const VERSION: u32 = 1;

impl ResultCache for Results {
    fn get(&self, signature: &str, spec: &spec::Node) -> anyhow::Result<Option<Outputs>> {
        let key = format!("{VERSION} {signature}");
        let Some(record) = self.store.get_record(KIND, &key)? else { return Ok(None) };
        let read = || -> anyhow::Result<Outputs> {
            let mut record: Json = serde_json::from_slice(&record)?;
            let Json::Array(values) = record["values"].take() else { bail!("expected a list of values") };
            if values.len() != spec.outputs.len() {
                bail!("expected {} values, found {}", spec.outputs.len(), values.len());
            }
            let values = values.into_iter().map(|v| self.decode(v)).collect::<anyhow::Result<_>>()?;
            let ui = record["ui"].as_object_mut().map(std::mem::take).unwrap_or_default();
            Ok(Outputs { values, ui, ..Outputs::default() })
        };
        read().map(Some).inspect_err(|_| self.store.remove_record(KIND, &key))
    }

    fn put(&self, signature: &str, _: &spec::Node, outputs: &Outputs) -> anyhow::Result<()> {
        let values: Vec<Json> = outputs.values.iter().map(|v| self.encode(v)).collect::<anyhow::Result<_>>()?;
        let record = json!({ "values": values, "ui": outputs.ui });
        self.store.put_record(KIND, &format!("{VERSION} {signature}"), record.to_string().as_bytes())?;
        Ok(())
    }
}

impl Results {
    fn encode(&self, value: &Value) -> anyhow::Result<Json> {
        Ok(match value {
            Value::Data(data) => json!({ "data": data }),
            Value::List(items) => {
                let items: Vec<Json> = items.iter().map(|v| self.encode(v)).collect::<anyhow::Result<_>>()?;
                json!({ "list": items })
            }
            Value::Object(object) => {
                let name = object.socket().name();
                json!({ "type": name, "value": (codec(name)?.encode)(object, &self.store)? })
            }
        })
    }

    fn decode(&self, mut value: Json) -> anyhow::Result<Value> {
        if let Some(data) = value.get_mut("data") {
            return Ok(Value::Data(data.take()));
        }
        if let Some(Json::Array(items)) = value.get_mut("list").map(Json::take) {
            return Ok(Value::List(items.into_iter().map(|v| self.decode(v)).collect::<anyhow::Result<_>>()?));
        }
        let name = value["type"].as_str().context("expected a typed value")?.to_owned();
        (codec(&name)?.decode)(value["value"].take(), &self.store).map(Value::Object)
    }
}

fn codec(socket: &str) -> anyhow::Result<&'static Codec> {
    CODECS.iter().find(|c| c.socket == socket).with_context(|| format!("values of type {socket} cannot be stored"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Cell, Grid, ImageBatch};
    use data::{Image, PixelFormat};

    fn spec(n: usize) -> spec::Node {
        let mut spec = crate::builtin()[0].spec().clone();
        let output = spec::Output { name: "x".into(), socket: Socket::Any, is_list: false, tooltip: None };
        spec.outputs = vec![output; n];
        spec
    }

    fn picture(v: u8) -> Image {
        Image::new(2, 1, PixelFormat::Rgb8, vec![v; 6]).unwrap()
    }

    #[test]
    fn objects_and_lists_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let cache = result_cache(Arc::new(Store::open(dir.path()).unwrap()));
        let grid = Grid {
            title: "t".into(),
            row_axis: "checkpoint".into(),
            rows: vec!["50".into()],
            col_axis: "strength".into(),
            cols: vec!["0".into(), "1".into()],
            cells: [0, 1]
                .map(|col| Cell {
                    row: 0,
                    col,
                    checkpoint: (col == 1).then_some(50),
                    strength: col as f64,
                    prompt: "p".into(),
                    seed: u64::MAX,
                    image: picture(col as u8),
                })
                .to_vec(),
            settings: json!({ "cfg": 4.5 }),
        };
        let images = Value::List(vec![Value::object(ImageBatch::new(vec![picture(7), picture(8)]))]);
        let values = vec![Value::object(grid.clone()), images, Value::Data(json!(u64::MAX))];
        let outputs =
            Outputs { values, ui: [("text".to_owned(), json!("x"))].into_iter().collect(), ..Outputs::default() };
        cache.put("s", &spec(3), &outputs).unwrap();
        let back = cache.get("s", &spec(3)).unwrap().unwrap();
        assert_eq!(back.ui, outputs.ui);
        let Value::Object(object) = &back.values[0] else { panic!() };
        assert_eq!(*object.get::<Grid>().unwrap(), grid);
        let Value::List(list) = &back.values[1] else { panic!() };
        let Value::Object(object) = &list[0] else { panic!() };
        assert_eq!(object.get::<ImageBatch>().unwrap().images()[1], picture(8));
        assert!(matches!(&back.values[2], Value::Data(v) if *v == json!(u64::MAX)));
        assert!(cache.get("other", &spec(3)).unwrap().is_none());
    }

    #[test]
    fn a_damaged_entry_is_an_error_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let cache = result_cache(store.clone());
        let outputs = Outputs { values: vec![Value::object(ImageBatch::new(vec![picture(7)]))], ..Outputs::default() };
        cache.put("s", &spec(1), &outputs).unwrap();
        for blob in std::fs::read_dir(dir.path().join("blobs")).unwrap().flatten() {
            for file in std::fs::read_dir(blob.path()).unwrap().flatten() {
                std::fs::write(file.path(), "x").unwrap();
            }
        }
        assert!(cache.get("s", &spec(1)).is_err());
        assert!(cache.get("s", &spec(1)).unwrap().is_none());
    }
}
