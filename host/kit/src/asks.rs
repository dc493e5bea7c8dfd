//! What a plugin asks for, in plain words.

use loader::{Manifest, Requests};

/// One line for each thing that it asks for; what differs from `before` is marked. Empty: it asks for nothing.
pub fn asks(manifest: &Manifest, before: Option<&Requests>) -> Vec<String> {
    let none = Requests::default();
    let old = before.unwrap_or(&none);
    let new = &manifest.requests;
    let mut lines = Vec::new();
    let mut say = |text: String, is_new: bool| {
        let mark = if before.is_some() && is_new { "NEW: " } else { "" };
        lines.push(format!("{mark}{text}"));
    };
    for model in &new.models {
        say(format!("run models named {model}"), !old.models.contains(model));
    }
    for site in &new.http {
        let what = match site.as_str() {
            "https://*/*" => "ask any site that you grant".to_owned(),
            "http://*:*/*" => "ask any site that you grant, unencrypted too".to_owned(),
            site => format!("ask {site}"),
        };
        say(what, !old.http.contains(site));
    }
    if new.contact {
        say("tell the sites that it asks the contact that you configured".to_owned(), !old.contact);
    }
    for secret in &new.secrets {
        say(format!("have the host send your key {secret}, without seeing it"), !old.secrets.contains(secret));
    }
    for folder in &new.folders {
        say(format!("read the folder that you name as {folder}"), !old.folders.contains(folder));
    }
    if new.storage_mib > 0 {
        say(format!("keep up to {} MiB of its own", new.storage_mib), new.storage_mib > old.storage_mib);
    }
    if new.deadline_seconds > 0 {
        let longer = new.deadline_seconds > old.deadline_seconds;
        say(format!("take up to {} s for one call", new.deadline_seconds), longer);
    }
    for name in &new.node_names {
        say(format!("add nodes named {name}"), !old.node_names.contains(name));
    }
    for target in manifest.native.keys() {
        // Whether it may run is asked elsewhere, file by file.
        say(format!("run as native code on {target}, outside of the sandbox, if you approve it"), false);
    }
    lines
}

/// Does it ask for more than before?
pub(crate) fn grew(manifest: &Manifest, before: &Requests) -> bool {
    asks(manifest, Some(before)).iter().any(|line| line.starts_with("NEW: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(requests: &str) -> Manifest {
        let head =
            "id = \"a.b\"\nversion = \"1.0.0\"\nwit = \"anagama:plugin@0.1.0\"\ncomponent = \"b.wasm\"\n[requests]\n";
        Manifest::parse(&format!("{head}{requests}")).unwrap()
    }

    #[test]
    fn each_request_is_a_line_and_new_ones_are_marked() {
        let all = "models = [\"taggers/*\"]\nhttp = [\"https://a.example/*\"]\ncontact = true\nsecrets = [\"key\"]\n\
                   folders = [\"in\"]\nstorage-mib = 3\ndeadline-seconds = 60\nnode-names = [\"X*\"]\n";
        let whole = manifest(all);
        assert_eq!(asks(&whole, None).len(), 8);
        assert_eq!(asks(&manifest(""), None), Vec::<String>::new());
        assert!(!grew(&whole, &whole.requests));
        assert!(!grew(&manifest(""), &whole.requests));
        let before = manifest(&all.replace("\"https://a.example/*\"", "").replace("= 3", "= 2")).requests;
        let marked: Vec<String> = asks(&whole, Some(&before)).into_iter().filter(|l| l.starts_with("NEW")).collect();
        assert_eq!(marked, ["NEW: ask https://a.example/*", "NEW: keep up to 3 MiB of its own"]);
    }
}
