//! Pictures that lie at an address: fetched once, compared with the checksum that was stated, kept in the store.

use super::Job;
use crate::Host;
use data::{Digest, Store};
use std::path::PathBuf;

/// Kind of the records that say which file an address had.
const KIND: &str = "fetched";

/// The file at an address; one that is kept already is not fetched again.
pub(super) fn fetch(job: &Job, url: &str, stated: Option<&str>) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let store = &job.ctx.services::<Host>().store;
    let key = format!("{url}\n{}", stated.unwrap_or_default());
    if let Some(kept) = kept(store, &key) {
        return Ok(kept);
    }
    job.ctx.check_cancelled()?;
    let bytes = job.plugin.download(url, &job.call())?;
    // What was fetched in vain is not kept: the next run tries again.
    if let Some(stated) = stated {
        data::checksum::check(stated, &bytes)?;
    }
    let digest = store.put_blob(&bytes)?;
    store.put_record(KIND, &key, digest.as_str().as_bytes())?;
    Ok((store.blob_path(&digest), bytes))
}

fn kept(store: &Store, key: &str) -> Option<(PathBuf, Vec<u8>)> {
    let record = store.get_record(KIND, key).ok()??;
    let digest = Digest::try_from(String::from_utf8(record).ok()?).ok()?;
    let bytes = store.read_blob(&digest).ok()?;
    Some((store.blob_path(&digest), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_file_is_found_by_address_and_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(kept(&store, "a").is_none());
        let digest = store.put_blob(b"picture").unwrap();
        store.put_record(KIND, "a", digest.as_str().as_bytes()).unwrap();
        let (path, bytes) = kept(&store, "a").unwrap();
        assert_eq!((bytes.as_slice(), path), (&b"picture"[..], store.blob_path(&digest)));
        std::fs::write(store.blob_path(&digest), b"damaged").unwrap();
        assert!(kept(&store, "a").is_none(), "a damaged file is fetched again");
    }
}
