//! A packed plugin: one file, a compressed tar archive. First `package.json` with the sha256 of each part, then its
//! signature, if it is signed, then the parts: the manifest, the artefacts, a licence, a page about it.
//!
//! Reading trusts nothing: sizes and names are limited, and a part must be listed and have the hash that the list states.

use crate::project::MANIFEST;
use crate::sign::{Key, Signature};
use crate::{Project, sha256};
use anyhow::{Context, Result, bail, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use loader::Manifest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

/// The ending of packages.
pub const EXTENSION: &str = "anagama";
const LIST: &str = "package.json";
const SIGNATURE: &str = "package.sig";
/// Of the packages that this program writes and reads.
const FORMAT: u32 = 1;
/// A package must fit into memory, whatever it claims of itself.
const MAX_BYTES: u64 = 256 << 20;
const MAX_PARTS: usize = 32;
/// What goes along if it lies in the plugin's folder.
const PAPERS: [&str; 5] = ["LICENSE", "LICENSE.txt", "LICENSE-MIT", "LICENSE-APACHE", "README.md"];

/// What is in a package, as its first part says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    format: u32,
    id: String,
    version: String,
    wit: String,
    files: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    name: String,
    bytes: u64,
    sha256: String,
}

/// A package that was read and found whole.
#[derive(Clone, Debug)]
pub struct Package {
    pub manifest: Manifest,
    /// Bytes by file name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The public key of a valid signature, in hex.
    pub key: Option<String>,
    /// Of the whole package.
    pub sha256: String,
}

/// Packs what was built; returns the file's name and its bytes. The same parts give the same bytes.
///
/// # Errors
/// Something that the manifest names is not built.
pub fn pack(project: &Project, key: Option<&Key>) -> Result<(String, Vec<u8>)> {
    let dist = project.dist();
    let manifest = Manifest::read(&dist)
        .with_context(|| format!("not built yet; `anagama plugin build` makes {}", dist.display()))?;
    ensure!(
        manifest == project.manifest,
        "{}: older than {MANIFEST} beside it; run `anagama plugin build`",
        dist.join(MANIFEST).display()
    );
    let artefacts = manifest.component.iter().chain(manifest.native.values());
    let mut files = BTreeMap::new();
    for name in artefacts.map(String::as_str).chain([MANIFEST]) {
        let path = dist.join(name);
        let bytes = std::fs::read(&path).with_context(|| {
            format!(
                "{}: {MANIFEST} names it, but it is not built; `anagama plugin build --native` builds the library for \
                     this machine, those for others are put there by hand",
                path.display()
            )
        })?;
        files.insert(name.to_owned(), bytes);
    }
    for name in PAPERS {
        if let Ok(bytes) = std::fs::read(project.folder.join(name)) {
            files.insert(name.to_owned(), bytes);
        }
    }
    let name = format!("{}-{}.{EXTENSION}", manifest.id, manifest.version);
    Ok((name, write(&manifest, &files, key)?))
}

fn write(manifest: &Manifest, files: &BTreeMap<String, Vec<u8>>, key: Option<&Key>) -> Result<Vec<u8>> {
    let part = |(name, bytes): (&String, &Vec<u8>)| Part {
        name: name.clone(),
        bytes: bytes.len() as u64,
        sha256: sha256(bytes),
    };
    let list = List {
        format: FORMAT,
        id: manifest.id.clone(),
        version: manifest.version.clone(),
        wit: manifest.wit.clone(),
        files: files.iter().map(part).collect(),
    };
    let list = serde_json::to_vec_pretty(&list)?;
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes)
    };
    put(LIST, &list)?;
    if let Some(key) = key {
        put(SIGNATURE, &serde_json::to_vec_pretty(&key.sign(&list))?)?;
    }
    for (name, bytes) in files {
        put(name, bytes)?;
    }
    Ok(archive.into_inner()?.finish()?)
}

impl Package {
    /// Reads a package and checks all of it.
    ///
    /// # Errors
    /// It is none, damaged, too large, wrongly signed, or made for another host.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let size = std::fs::metadata(path).with_context(|| format!("{shown}: cannot be read"))?.len();
        ensure!(size <= MAX_BYTES, "{shown}: expected at most {} MiB, found {} MiB", MAX_BYTES >> 20, size >> 20);
        let bytes = std::fs::read(path).with_context(|| format!("{shown}: cannot be read"))?;
        Self::parse(&bytes).with_context(|| format!("{shown}: not a good package"))
    }

    /// The same, of bytes.
    ///
    /// # Errors
    /// As [`Package::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut parts = unpack(bytes)?;
        let list_bytes = parts.remove(LIST).with_context(|| format!("it has no {LIST}"))?;
        let version: serde_json::Value = serde_json::from_slice(&list_bytes).context(LIST)?;
        match version["format"].as_u64() {
            Some(format) if format > u64::from(FORMAT) => {
                bail!("its format is {format}, this program reads {FORMAT}: this Anagama is too old for it")
            }
            Some(format) if format == u64::from(FORMAT) => {}
            _ => bail!("{LIST}: expected \"format\": {FORMAT}, found {}", version["format"]),
        }
        let list: List = serde_json::from_value(version).context(LIST)?;
        let key = match parts.remove(SIGNATURE) {
            Some(signature) => {
                let signature: Signature = serde_json::from_slice(&signature).context(SIGNATURE)?;
                signature.check(&list_bytes)?;
                Some(signature.key)
            }
            None => None,
        };
        for part in &list.files {
            let bytes = parts.get(&part.name).with_context(|| format!("`{}` is listed, but not there", part.name))?;
            let found = sha256(bytes);
            ensure!(
                found == part.sha256 && bytes.len() as u64 == part.bytes,
                "`{}` is damaged: expected sha256 {}, found {found}",
                part.name,
                part.sha256
            );
        }
        if let Some(extra) = parts.keys().find(|name| !list.files.iter().any(|p| p.name == **name)) {
            bail!("`{extra}` is there, but not listed");
        }
        let text = parts.get(MANIFEST).with_context(|| format!("it has no {MANIFEST}"))?;
        let text = std::str::from_utf8(text).with_context(|| MANIFEST.to_owned())?;
        let manifest = Manifest::parse(text).map_err(|e| anyhow::anyhow!("{MANIFEST}: {e}"))?;
        ensure!(
            (&manifest.id, &manifest.version) == (&list.id, &list.version),
            "it calls itself {} {}, its {MANIFEST} {} {}",
            list.id,
            list.version,
            manifest.id,
            manifest.version
        );
        for name in manifest.component.iter().chain(manifest.native.values()) {
            ensure!(parts.contains_key(name), "{MANIFEST} names `{name}`, which is not in it");
        }
        Ok(Self { manifest, files: parts, key, sha256: sha256(bytes) })
    }
}

/// The files of an archive; only plain ones, with plain names, each once.
fn unpack(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    // Of what comes out no more than this is looked at, whatever an entry says of its size.
    let limited = GzDecoder::new(Cursor::new(bytes)).take(MAX_BYTES + 1);
    let mut archive = tar::Archive::new(limited);
    let (mut parts, mut total) = (BTreeMap::new(), 0u64);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8(entry.path_bytes().into_owned()).context("a name that is not UTF-8")?;
        ensure!(entry.header().entry_type().is_file(), "`{name}` is no plain file");
        ensure!(plain(&name), "`{name}` is no plain file name");
        ensure!(parts.len() < MAX_PARTS, "more than {MAX_PARTS} files");
        total = total.saturating_add(entry.size());
        ensure!(total <= MAX_BYTES, "more than {} MiB", MAX_BYTES >> 20);
        let mut part = Vec::new();
        entry.read_to_end(&mut part)?;
        ensure!(parts.insert(name.clone(), part).is_none(), "`{name}` is there twice");
    }
    Ok(parts)
}

/// A name that means a file in one folder on every system.
fn plain(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.bytes().all(good)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A package of a plugin that does not run.
    pub(crate) fn sample(version: &str, requests: &str, key: Option<&Key>) -> Vec<u8> {
        let text = format!(
            "id = \"a.b\"\nversion = \"{version}\"\nwit = \"anagama:plugin@0.1.0\"\ncomponent = \"b.wasm\"\n[requests]\n{requests}"
        );
        let manifest = Manifest::parse(&text).unwrap();
        let files = [(MANIFEST.to_owned(), text.into_bytes()), ("b.wasm".to_owned(), b"\0asm".to_vec())].into();
        write(&manifest, &files, key).unwrap()
    }

    fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, bytes) in parts {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            // Names that `set_path` refuses.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, *bytes).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    fn refusal(bytes: &[u8]) -> String {
        format!("{:#}", Package::parse(bytes).unwrap_err())
    }

    #[test]
    fn what_is_packed_is_read_and_the_same_twice() {
        let bytes = sample("1.0.0", "", None);
        assert_eq!(bytes, sample("1.0.0", "", None));
        let package = Package::parse(&bytes).unwrap();
        assert_eq!((package.manifest.id.as_str(), package.key.as_deref()), ("a.b", None));
        assert_eq!(package.files["b.wasm"], b"\0asm");
    }

    #[test]
    fn a_signature_covers_every_part() {
        let (key, _) = Key::generate().unwrap();
        let package = Package::parse(&sample("1.0.0", "", Some(&key))).unwrap();
        assert_eq!(package.key, Some(key.public()));
        let mut parts = unpack(&sample("1.0.0", "", Some(&key))).unwrap();
        let other = unpack(&sample("1.0.1", "", None)).unwrap();
        parts.insert(LIST.into(), other[LIST].clone());
        parts.insert(MANIFEST.into(), other[MANIFEST].clone());
        let all: Vec<(&str, &[u8])> = parts.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        assert!(refusal(&archive(&all)).contains("signature"));
    }

    #[test]
    fn every_damage_is_named() {
        let good = unpack(&sample("1.0.0", "", None)).unwrap();
        let (list, manifest) = (good[LIST].as_slice(), good[MANIFEST].as_slice());
        type Part<'a> = (&'a str, &'a [u8]);
        let whole: [Part<'_>; 3] = [(LIST, list), (MANIFEST, manifest), ("b.wasm", b"\0asm")];
        assert!(Package::parse(&archive(&whole)).is_ok());
        let newer = String::from_utf8(list.to_vec()).unwrap().replace("\"format\": 1", "\"format\": 2");
        let cases: [(&[Part<'_>], &str); 8] = [
            (&[(LIST, list), (MANIFEST, manifest), ("b.wasm", b"\0as?")], "`b.wasm` is damaged"),
            (&[(LIST, list), (MANIFEST, manifest)], "not there"),
            (&[(LIST, list), (MANIFEST, manifest), ("b.wasm", b"\0asm"), ("more.so", b"")], "not listed"),
            (&[(LIST, list), ("../plugin.toml", manifest)], "plain file name"),
            (&[(LIST, list), ("/plugin.toml", manifest)], "plain file name"),
            (&[(LIST, list), (LIST, list)], "twice"),
            (&[(MANIFEST, manifest)], "no package.json"),
            (&[(LIST, newer.as_bytes())], "this Anagama is too old"),
        ];
        for (parts, says) in cases {
            let e = refusal(&archive(parts));
            assert!(e.contains(says), "{says}: {e}");
        }
        assert!(Package::parse(b"no archive").is_err());
        let bytes = sample("1.0.0", "", None);
        assert!(Package::parse(&bytes[..bytes.len() / 2]).is_err());
    }

    #[test]
    fn no_flipped_bit_changes_what_is_read() {
        let good = sample("1.0.0", "", None);
        let files = Package::parse(&good).unwrap().files;
        let mut refused = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            match Package::parse(&bad) {
                Ok(package) => assert_eq!(package.files, files, "byte {at}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > good.len() / 2, "{refused} of {}", good.len());
    }

    #[test]
    fn an_archive_that_unpacks_to_more_than_memory_is_refused() {
        let mut header = tar::Header::new_ustar();
        header.set_path("b.wasm").unwrap();
        header.set_size(MAX_BYTES + 1);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([0; 4096]);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::Write::write_all(&mut packed, &bytes).unwrap();
        assert!(refusal(&packed.finish().unwrap()).contains("more than 256 MiB"));
    }
}
