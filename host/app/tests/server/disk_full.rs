//! A disk without room: whoever asks is told so with the name of the file, nothing that was there is lost, the server
//! answers all the while, and with room again everything goes on.

use crate::files::upload;
use crate::support::{Server, saved};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How the disk runs full.
enum Disk {
    /// Everything lies on a small file system of the server's own, which is filled up through the server.
    Small,
    /// No file may grow beyond a limit, which is lowered while the server runs. Needs no rights.
    Limited,
}

/// What a job takes that is refused for want of room, and what is left for the record of its end.
const PIECE: usize = 128 << 10;
const LIMIT: usize = 768 << 10;

/// Mounts the file system below the server's feet; its log lies there too.
const MOUNT: &str = r#"mount -t tmpfs -o size=8m none "$0" && cd "$0" && exec "$@" 2>>log"#;
/// The signal that comes with a file that is too large would end the server.
const IGNORE: &str = r#"trap '' XFSZ; exec "$@""#;

impl Disk {
    fn start(&self, base: &Path) -> Server {
        let folder = base.to_str().unwrap();
        match self {
            Self::Small => Server::start_under(base, &[&NAMESPACE[..], &["sh", "-c", MOUNT, folder]].concat()),
            Self::Limited => Server::start_under(base, &["sh", "-c", IGNORE, folder]),
        }
    }

    /// Room for the record of a job, not for its picture.
    fn nearly_fill(&self, server: &Server) {
        match self {
            Self::Small => {
                let last = fill(server, PIECE);
                assert_eq!(server.send("DELETE", &format!("/userdata/{last}"), &[], b"").status, 204);
            }
            Self::Limited => limit(server, LIMIT),
        }
    }

    fn fill(&self, server: &Server) {
        match self {
            Self::Small => drop(fill(server, 4096)),
            Self::Limited => limit(server, 0),
        }
    }

    fn make_room(&self, server: &Server) {
        match self {
            Self::Small => {
                let names = server.get("/userdata?dir=.&recurse=true").json();
                for name in names.as_array().unwrap().iter().map(|n| n.as_str().unwrap()) {
                    assert_eq!(server.send("DELETE", &format!("/userdata/{name}"), &[], b"").status, 204);
                }
            }
            Self::Limited => {
                assert!(prlimit(server, "unlimited").status().unwrap().success());
            }
        }
    }

    /// The server's folder as it sees it.
    fn base(&self, server: &Server) -> PathBuf {
        match self {
            Self::Small => {
                Path::new(&format!("/proc/{}/root", server.pid())).join(server.base.strip_prefix("/").unwrap())
            }
            Self::Limited => server.base.clone(),
        }
    }
}

const NAMESPACE: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];

/// Files of this size until there is no room for one more. Gives the last one's name.
fn fill(server: &Server, size: usize) -> String {
    let (mut count, mut refused, mut last) = (0, 0, String::new());
    // The server tries itself now and then whether there is room, which takes it for a moment.
    while refused < 3 {
        let name = format!("ballast-{size}-{count}");
        let answer = server.send("POST", &format!("/userdata/{name}"), &[], &vec![7; size]);
        match answer.status {
            200 => (count, refused, last) = (count + 1, 0, name),
            507 => {
                assert!(answer.text().contains(&name) && answer.text().contains("disk is full"), "{}", answer.text());
                refused += 1;
                std::thread::sleep(Duration::from_millis(60));
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    last
}

fn prlimit(server: &Server, bytes: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &server.pid().to_string(), &format!("--fsize={bytes}:unlimited")]);
    command
}

fn limit(server: &Server, bytes: usize) {
    assert!(prlimit(server, &bytes.to_string()).status().unwrap().success());
}

#[test]
fn a_full_file_system_costs_nothing_that_was_there() {
    let probe = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=64k none "$0""#;
    let mut mount = Command::new(NAMESPACE[0]);
    mount.args(&NAMESPACE[1..]).args(["sh", "-c", script]).arg(probe.path()).stderr(Stdio::piped());
    match mount.output() {
        Ok(output) if output.status.success() => runs_full_and_recovers(&Disk::Small),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            eprintln!("SKIPPED: a_full_file_system_costs_nothing_that_was_there: no mount is permitted: {why}");
        }
        Err(error) => eprintln!("SKIPPED: a_full_file_system_costs_nothing_that_was_there: unshare: {error}"),
    }
}

#[test]
fn a_limit_on_files_costs_nothing_that_was_there() {
    if Command::new("prlimit").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: a_limit_on_files_costs_nothing_that_was_there: prlimit is not here");
        return;
    }
    runs_full_and_recovers(&Disk::Limited);
}

fn runs_full_and_recovers(disk: &Disk) {
    let dir = tempfile::tempdir().unwrap();
    let server = disk.start(dir.path());
    let kept = server.prompt(&json!({"prompt": saved(1, "kept")}));
    server.finished(&kept);
    assert_eq!(upload(&server, "noise.bmp", &noise(600), &[]).status, 200);
    server.post("/anagama/pause", &json!(null));
    let big = server.prompt(&json!({"prompt": noisy("big"), "client_id": "me"}));
    let small: Vec<String> =
        (2..5).map(|n| server.prompt(&json!({"prompt": saved(n, &format!("small{n}"))}))).collect();

    disk.nearly_fill(&server);
    let mut socket = server.ws("me");
    server.post("/anagama/resume", &json!(null));
    let error = server.finished(&big)["status"].clone();
    assert_eq!(error["status_str"], "error");
    let told = socket.until_end();
    let told = &told.iter().find(|m| m["type"] == "execution_error").unwrap()["data"];
    for text in [told["exception_message"].as_str().unwrap(), &error["messages"].to_string()] {
        assert!(text.contains("output/big_00001_.png") && text.contains("disk is full"), "{text}");
    }
    assert_eq!(told["node_type"], "SaveImage");

    // The others are not spent on a full disk.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(waiting(&server), small);
    assert!(state(&server)["no_room"].is_string(), "{}", state(&server));

    disk.fill(&server);
    let (queue, history) = (server.get("/queue").text(), server.get("/history").text());
    let refused = server.post("/prompt", &json!({"prompt": saved(9, "refused")}));
    assert_eq!(refused.status, 507, "{}", refused.text());
    let body = refused.json();
    assert_eq!((&body["error"]["type"], &body["node_errors"]), (&json!("no_room"), &json!({})));
    let details = body["error"]["details"].as_str().unwrap().to_owned();
    assert!(details.contains("anagama-jobs.db") && details.contains("disk is full"), "{details}");
    let answer = upload(&server, "late.bmp", &noise(100), &[]);
    assert!(answer.status == 507 && answer.text().contains("input/late.bmp"), "{} {}", answer.status, answer.text());
    assert_eq!(server.post("/settings", &json!({"a": "b".repeat(8000)})).status, 507);
    assert_eq!(server.get("/settings").json(), json!({}));
    for path in ["/features", "/object_info/SaveImage", "/api/jobs", "/view?filename=kept_00001_.png", "/metrics"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!((server.get("/queue").text(), server.get("/history").text()), (queue, history));
    assert_eq!(parts(&disk.base(&server)), [""; 0]);
    let mut small = small;
    if matches!(disk, Disk::Small) {
        // What the user does to get out of it is possible.
        let gone = small.remove(1);
        assert_eq!(server.post("/queue", &json!({"delete": [gone]})).status, 200);
        assert_eq!(waiting(&server), small);
    }

    disk.make_room(&server);
    for id in &small {
        assert_eq!(server.finished(id)["status"]["status_str"], "success");
    }
    let again = server.prompt(&json!({"prompt": noisy("big")}));
    assert_eq!(server.finished(&again)["status"]["status_str"], "success");
    assert_eq!(server.get("/view?filename=big_00001_.png").status, 200);
    assert_eq!(state(&server)["no_room"], json!(null));
    let reserve = disk.base(&server).join("user/anagama-jobs.reserve");
    assert_eq!(reserve.metadata().unwrap().len(), 1 << 20, "room is kept for the next time");
    let log = std::fs::read_to_string(disk.base(&server).join("log")).unwrap();
    assert!(log.contains("there is room again") && !log.contains("panicked"), "{log}");
    if matches!(disk, Disk::Limited) {
        let history = server.get("/history").text();
        server.kill();
        assert_eq!(Server::start_in(dir.path(), &[]).get("/history").text(), history);
    }
}

fn state(server: &Server) -> Value {
    server.get("/anagama/state").json()
}

/// The waiting jobs, once none is between waiting and running.
fn waiting(server: &Server) -> Vec<String> {
    let since = Instant::now();
    loop {
        let queue = server.get("/queue").json();
        let ids = |part: &str| -> Vec<String> {
            queue[part].as_array().unwrap().iter().map(|j| j[1].as_str().unwrap().to_owned()).collect()
        };
        if ids("queue_running").is_empty() {
            return ids("queue_pending");
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{queue}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Files that somebody began to write and left.
fn parts(base: &Path) -> Vec<String> {
    let (mut open, mut found) = (vec![base.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                open.push(entry.path());
            } else if name.starts_with(".part-") || name.starts_with(".tmp") || name.contains(".json.") {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}

/// A picture that no format makes small, of this many pixels a side.
fn noise(side: u32) -> Vec<u8> {
    let mut random = crate::limits::Random(0x2545_F491_4F6C_DD1D);
    let pixels: Vec<u8> = (0..side * side * 3).map(|_| random.next(256) as u8).collect();
    let mut bytes = b"BM".to_vec();
    for number in [54 + pixels.len() as u32, 0, 54, 40, side, side, (24 << 16) | 1, 0, 0, 0, 0, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(pixels);
    bytes
}

/// The picture of noise, saved.
fn noisy(prefix: &str) -> Value {
    json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "noise.bmp"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    })
}
