//! The program, started on a free port in an empty folder, and a plain client.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// A running server. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) base: PathBuf,
    /// Keeps the folder, unless the test does.
    _dir: Option<tempfile::TempDir>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().to_owned();
        let mut server = Self::start_in(&base, args);
        server._dir = Some(dir);
        server
    }

    pub(crate) fn start_in(base: &Path, args: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_anagama")), base, args)
    }

    /// Under a program that runs what follows its own arguments, and becomes it.
    pub(crate) fn start_under(base: &Path, wrapper: &[&str]) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(env!("CARGO_BIN_EXE_anagama"));
        Self::spawn(command, base, &[])
    }

    fn spawn(mut command: Command, base: &Path, args: &[&str]) -> Self {
        let mut child = command
            .args(["serve", "--port", "0", "--base-directory"])
            .arg(base)
            .arg("--store")
            .arg(base.join("store"))
            .args(args)
            .current_dir(base)
            .env("HOME", base)
            .env_remove("ANAGAMA_TOKEN")
            .stdout(Stdio::piped())
            .stderr(std::fs::OpenOptions::new().create(true).append(true).open(base.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(Ok(line)) = lines.next() else {
            panic!("the server did not start: {}", std::fs::read_to_string(base.join("log")).unwrap())
        };
        let port = line.rsplit(':').next().unwrap().parse().unwrap();
        Self { child, port, base: base.to_owned(), _dir: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; gives the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        assert!(Command::new("kill").arg(self.pid().to_string()).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.base.join("log")).unwrap()
    }

    /// Bytes on a connection of their own, and everything that comes back.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        // The server may refuse before everything is sent.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("host")) {
            text += &format!("host: 127.0.0.1:{}\r\n", self.port);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        Answer::parse(&self.raw(&[text.as_bytes(), body].concat()))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    pub(crate) fn ws(&self, client: &str) -> Socket {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let url = format!("ws://127.0.0.1:{}/ws?clientId={client}", self.port);
        Socket(tungstenite::client(url, stream).unwrap().0)
    }

    /// Sends a prompt and gives its id.
    #[track_caller]
    pub(crate) fn prompt(&self, body: &Value) -> String {
        let answer = self.post("/prompt", body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["prompt_id"].as_str().unwrap().to_owned()
    }

    /// Waits until the job is in the history.
    #[track_caller]
    pub(crate) fn finished(&self, id: &str) -> Value {
        let since = Instant::now();
        loop {
            let entry = self.get(&format!("/history/{id}")).json();
            if let Some(entry) = entry.get(id) {
                return entry.clone();
            }
            assert!(since.elapsed() < Duration::from_secs(120), "{id} does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("the server answered nothing");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }
}

/// A client's WebSocket.
pub(crate) struct Socket(pub(crate) WebSocket<TcpStream>);

impl Socket {
    /// The next text message.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Binary(bytes) => return json!({ "type": "binary", "bytes": bytes.to_vec() }),
                _ => {}
            }
        }
    }

    /// All messages up to the end of a job, that one included.
    #[track_caller]
    pub(crate) fn until_end(&mut self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let message = self.next();
            let end = message["type"] == "executing" && message["data"]["node"].is_null();
            all.push(message);
            if end {
                return all;
            }
        }
    }

    pub(crate) fn send(&mut self, value: &Value) {
        self.0.send(Message::text(value.to_string())).unwrap();
    }
}

/// A picture of one colour, inverted and shown.
pub(crate) fn trivial(color: u32) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": color}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    })
}

/// The same, saved.
pub(crate) fn saved(color: u32, prefix: &str) -> Value {
    let mut prompt = trivial(color);
    prompt["3"] = json!({"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": prefix}});
    prompt
}

/// An `extra_model_paths.yaml` that names the models of the examples.
pub(crate) fn example_models() -> tempfile::NamedTempFile {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/diffusers");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("examples:\n  diffusers: {}\n", models.canonicalize().unwrap().display()))
        .unwrap();
    file
}
