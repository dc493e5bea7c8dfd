//! Uploads, results, and what the user keeps.

use crate::support::{Answer, Server};
use serde_json::json;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

pub(crate) fn upload(server: &Server, name: &str, bytes: &[u8], fields: &[(&str, &str)]) -> Answer {
    let mut body =
        format!("--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\r\n").into_bytes();
    body.extend_from_slice(bytes);
    for (field, value) in fields {
        body.extend(format!("\r\n--B\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}").into_bytes());
    }
    body.extend_from_slice(b"\r\n--B--\r\n");
    server.send("POST", "/upload/image", &[("content-type", "multipart/form-data; boundary=B")], &body)
}

#[test]
fn uploads_are_kept_once_and_never_outside() {
    let server = Server::start(&[]);
    let saved = upload(&server, "a.png", PNG, &[]).json();
    assert_eq!(saved, json!({"name": "a.png", "subfolder": "", "type": "input"}));
    assert_eq!(upload(&server, "a.png", PNG, &[]).json()["name"], "a.png");
    assert_eq!(upload(&server, "a.png", b"other", &[]).json()["name"], "a (1).png");
    assert_eq!(upload(&server, "a.png", b"new", &[("overwrite", "true")]).json()["name"], "a.png");
    assert_eq!(upload(&server, "b.png", PNG, &[("subfolder", "x/y"), ("type", "temp")]).json()["subfolder"], "x/y");
    assert!(server.base.join("temp/x/y/b.png").exists());
    assert_eq!(upload(&server, "../../c.png", PNG, &[]).json()["name"], "c.png");
    for (name, fields) in
        [("a.png", [("subfolder", "../out")]), ("a.png", [("type", "etc")]), ("..", [("type", "input")])]
    {
        assert_eq!(upload(&server, name, PNG, &fields).status, 400, "{name} {fields:?}");
    }
    assert!(server.get("/object_info/LoadImage").text().contains("a (1).png"));
    assert_eq!(server.send("POST", "/upload/image", &[], b"x").status, 400);
}

#[test]
#[cfg(unix)]
fn results_are_shown_but_nothing_beside_them() {
    let server = Server::start(&[]);
    let out = server.base.join("output");
    std::fs::write(out.join("a.png"), PNG).unwrap();
    std::fs::write(out.join("page.html"), "<script>alert(1)</script>").unwrap();
    std::fs::write(out.join("pic.SVG"), "<svg/>").unwrap();
    std::os::unix::fs::symlink(server.base.join("log"), out.join("link.png")).unwrap();
    std::os::unix::fs::symlink(&server.base, out.join("up")).unwrap();
    let status = |query: &str| server.get(&format!("/view?{query}")).status;
    assert_eq!(status("filename=a.png"), 200);
    assert_eq!(status("filename=a.png%20[output]&type=input"), 404);
    assert_eq!(status("filename=a.png%20[output]"), 200);
    assert_eq!(status("filename=absent.png"), 404);
    assert_eq!(status("filename=/etc/passwd"), 400);
    assert_eq!(status("filename=../log"), 400);
    assert_eq!(status("filename=log&subfolder=.."), 403);
    assert_eq!(status("filename=log&subfolder=/etc"), 403);
    assert_eq!(status("filename=a.png&type=etc"), 400);
    assert_eq!(status("filename=link.png"), 403);
    assert_eq!(status("filename=log&subfolder=up"), 403);
    for name in ["page.html", "pic.SVG"] {
        let answer = server.get(&format!("/view?filename={name}"));
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        assert!(answer.header("content-disposition").unwrap().starts_with("attachment"));
    }
}

#[test]
fn workflows_and_settings_are_kept() {
    let server = Server::start(&[]);
    let put = |path: &str, body: &[u8]| server.send("POST", path, &[], body);
    assert_eq!(put("/api/userdata/workflows%2Fa%20b.json?overwrite=false", b"{}").json(), json!("workflows/a b.json"));
    assert_eq!(put("/api/userdata/workflows%2Fa%20b.json?overwrite=false", b"{}").status, 409);
    let info = put("/api/userdata/workflows%2Fc.json?full_info=true", b"{\"x\":1}").json();
    assert_eq!((&info["path"], &info["size"]), (&json!("workflows/c.json"), &json!(7)));
    assert_eq!(server.get("/api/userdata/workflows%2Fc.json").text(), "{\"x\":1}");
    let list = server.get("/api/userdata?dir=workflows&recurse=true&split=false&full_info=true").json();
    assert_eq!(list[1]["path"], "c.json");
    assert_eq!(
        server.get("/api/userdata?dir=workflows&split=true").json(),
        json!([["a b.json", "a b.json"], ["c.json", "c.json"]])
    );
    assert_eq!(server.get("/v2/userdata?path=workflows").json()[0]["type"], "file");
    let moved = put("/api/userdata/workflows%2Fc.json/move/workflows%2Fd.json", b"");
    assert_eq!(moved.json(), json!("workflows/d.json"));
    assert_eq!(server.send("DELETE", "/api/userdata/workflows%2Fd.json", &[], b"").status, 204);
    assert_eq!(server.send("DELETE", "/api/userdata/workflows%2Fd.json", &[], b"").status, 404);
    for outside in ["..%2f..%2flog", "workflows%2F..%2F..%2F..%2Flog", "%2Fetc%2Fpasswd"] {
        assert_eq!(server.get(&format!("/userdata/{outside}")).status, 403, "{outside}");
        assert_eq!(put(&format!("/userdata/{outside}"), b"x").status, 403, "{outside}");
    }
    assert_eq!(put("/settings/Comfy.InstalledVersion", b"\"1.58.1\"").status, 200);
    assert_eq!(put("/settings", b"{\"a\": [1, null]}").status, 200);
    assert_eq!(server.get("/settings").json(), json!({"Comfy.InstalledVersion": "1.58.1", "a": [1, null]}));
    assert_eq!(server.get("/settings/Comfy.InstalledVersion").json(), json!("1.58.1"));
    assert!(server.base.join("user/default/comfy.settings.json").exists());
}
