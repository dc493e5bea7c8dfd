//! Keys that requests carry and plugins never see: a plugin writes `{secret:NAME}`, the host puts the value there when
//! the request leaves, and takes it out of whatever comes back.

use crate::grants::{Rights, SecretGrant};
use spec::{ErrorKind, PluginError};
use std::path::Path;
use std::sync::Arc;
use url::Url;

/// Looks a variable of the environment up; the program gives it, so that nothing else reads the environment.
pub type EnvFn = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

const OPEN: &str = "{secret:";
/// Longest secret; a file that is longer is another file.
const MAX: u64 = 4096;

/// A request with its secrets.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// Value and name of each.
    secrets: Vec<(String, String)>,
    /// Headers that carry one.
    pub(crate) headers: Vec<String>,
}

/// Puts secrets into the query of an address and into headers.
pub(crate) fn fill(
    rights: &Rights,
    env: &EnvFn,
    method: &str,
    url: &mut Url,
    headers: &mut [(String, String)],
) -> Result<Filled, PluginError> {
    let mut out = Filled::default();
    let asked = url.clone();
    let mut value = |name: &str| -> Result<String, PluginError> {
        let denied = |message| PluginError::new(ErrorKind::Denied, message);
        let found = read(rights.secret(name, method, &asked).map_err(denied)?, env);
        let found = found.map_err(|e| denied(format!("secret `{name}`: {e}")))?;
        if !out.secrets.iter().any(|(_, n)| n == name) {
            out.secrets.push((found.clone(), name.to_owned()));
        }
        Ok(found)
    };
    if let Some(query) = asked.query().filter(|q| q.contains(OPEN)) {
        let filled = replace(query, |name| Ok(encoded(&value(name)?)))?;
        url.set_query(Some(&filled));
    }
    let mut carrying = Vec::new();
    for (name, text) in headers.iter_mut().filter(|(_, text)| text.contains(OPEN)) {
        *text = replace(text, &mut value)?;
        carrying.push(name.to_ascii_lowercase());
    }
    out.headers = carrying;
    Ok(out)
}

/// The text with a value for each place.
fn replace(text: &str, mut value: impl FnMut(&str) -> Result<String, PluginError>) -> Result<String, PluginError> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(OPEN) {
        out.push_str(&rest[..at]);
        let inner = &rest[at + OPEN.len()..];
        let Some(end) = inner.find('}') else {
            return Err(PluginError::new(ErrorKind::InvalidInput, "expected `{secret:NAME}`, found no `}`"));
        };
        out.push_str(&value(&inner[..end])?);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn encoded(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// The value, from the place that the user named.
fn read(grant: &SecretGrant, env: &EnvFn) -> Result<String, String> {
    let value = match (&grant.env, &grant.file) {
        (Some(name), None) => env(name).ok_or_else(|| format!("the variable {name} of the environment is not set"))?,
        (None, Some(path)) => read_file(path)?,
        _ => return Err("expected either `env` or `file`".to_owned()),
    };
    let value = value.trim();
    if value.is_empty() {
        return Err("it is empty".to_owned());
    }
    if value.chars().any(char::is_control) {
        return Err("expected one line of text, found control characters".to_owned());
    }
    Ok(value.to_owned())
}

fn read_file(path: &Path) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let meta = std::fs::metadata(path).map_err(failed)?;
    if !meta.is_file() || meta.len() > MAX {
        return Err(format!("{}: expected a file of at most {MAX} bytes", path.display()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!("{0}: others may read it (mode {mode:o}); `chmod 600 {0}` mends that", path.display()));
        }
    }
    std::fs::read_to_string(path).map_err(failed)
}

impl Filled {
    pub(crate) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The text with names in the place of values.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (value, name) in &self.secrets {
            for form in [value.clone(), encoded(value)] {
                out = out.replace(&form, &format!("{OPEN}{name}}}"));
            }
        }
        out
    }

    /// The same for a body, which is left alone unless a value stands in it.
    pub(crate) fn hide_bytes(&self, body: Vec<u8>) -> Vec<u8> {
        let within = |value: &str| body.windows(value.len()).any(|w| w == value.as_bytes());
        if self.secrets.iter().any(|(value, _)| within(value)) {
            return self.hide(&String::from_utf8_lossy(&body)).into_bytes();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Requests;
    use crate::grants::{Grant, Grants};

    fn rights(grant: SecretGrant) -> Rights {
        let requests = Requests { secrets: vec!["*".into()], ..Requests::default() };
        let grant = Grant { secrets: [("key".to_owned(), grant)].into(), ..Grant::default() };
        Rights::new("x.y", &requests, &Grants { default: grant, ..Grants::default() })
    }

    fn env() -> EnvFn {
        Arc::new(|name| (name == "KEY").then(|| "p&ss wörd".to_owned()))
    }

    fn to() -> Vec<String> {
        vec!["https://a.example/*".into()]
    }

    #[test]
    fn places_are_filled_and_hidden_again() {
        let rights = rights(SecretGrant { env: Some("KEY".into()), to: to(), ..SecretGrant::default() });
        let mut url = Url::parse("https://a.example/x?user=1&k={secret:key}&z=2").unwrap();
        let mut headers =
            vec![("Authorization".to_owned(), "Bearer {secret:key}".to_owned()), ("a".into(), "b".into())];
        let filled = fill(&rights, &env(), "GET", &mut url, &mut headers).unwrap();
        assert_eq!(url.query(), Some("user=1&k=p%26ss+w%C3%B6rd&z=2"));
        assert_eq!(headers[0].1, "Bearer p&ss wörd");
        assert_eq!(filled.headers, ["authorization"]);
        assert_eq!(
            filled.hide(&format!("{url}: p&ss wörd")),
            "https://a.example/x?user=1&k={secret:key}&z=2: {secret:key}"
        );
        assert_eq!(filled.hide_bytes(b"\xffbinary".to_vec()), b"\xffbinary");
        assert_eq!(filled.hide_bytes("bad key p&ss wörd".into()), b"bad key {secret:key}");
    }

    #[test]
    fn a_secret_that_is_not_there_is_said_without_a_request() {
        let cases = [
            (
                SecretGrant { env: Some("NO".into()), to: to(), ..SecretGrant::default() },
                "NO of the environment is not set",
            ),
            (SecretGrant { to: to(), ..SecretGrant::default() }, "either `env` or `file`"),
            (SecretGrant { env: Some("KEY".into()), ..SecretGrant::default() }, "may not be sent to"),
            (SecretGrant { file: Some("/no/such/file".into()), to: to(), ..SecretGrant::default() }, "/no/such/file"),
        ];
        for (grant, text) in cases {
            let mut url = Url::parse("https://a.example/x?k={secret:key}").unwrap();
            let e = fill(&rights(grant), &env(), "GET", &mut url, &mut []).unwrap_err();
            assert!(e.message.contains(text) && e.kind == ErrorKind::Denied, "{e}");
        }
        let mut url = Url::parse("https://a.example/x?k={secret:key").unwrap();
        assert!(fill(&rights(SecretGrant::default()), &env(), "GET", &mut url, &mut []).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_must_be_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, " abc\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let grant = SecretGrant { file: Some(path.clone()), to: to(), ..SecretGrant::default() };
        mode(0o644);
        assert!(read(&grant, &env()).unwrap_err().contains("chmod 600"));
        mode(0o600);
        assert_eq!(read(&grant, &env()).unwrap(), "abc");
    }
}
