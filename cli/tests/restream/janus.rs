// SPDX-License-Identifier: MPL-2.0
//! Janus with one mountpoint, and its API.

use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::peers::{Peer, free_ports, wait_for};

pub struct Janus {
    _process: Peer,
    _folder: tempfile::TempDir,
    http: u16,
    video: u16,
}

/// The mountpoint of docs/live.md, at these ports.
fn mountpoint(video: u16, sound: u16) -> String {
    let docs = include_str!("../../../docs/live.md");
    let (_, rest) = docs
        .split_once("```jcfg\n")
        .expect("a mountpoint in docs/live.md");
    let (text, _) = rest.split_once("```").expect("its end");
    assert!(text.contains("5004") && text.contains("5006"), "{text}");
    text.replace("5004", &video.to_string())
        .replace("5006", &sound.to_string())
}

impl Janus {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        let home = glob("/usr/lib/*/janus").unwrap_or_else(|| {
            panic!("there is no /usr/lib/*/janus; install it with `apt install janus`")
        });
        // Only the plugins that are needed, so that no other one takes a port.
        for library in [
            "plugins/libjanus_streaming.so",
            "transports/libjanus_http.so",
        ] {
            let link = dir.join(library);
            std::fs::create_dir(link.parent().expect("a folder")).expect("a folder");
            symlink(home.join(library), link).expect("a link");
        }
        let [http] = free_ports();
        let (video, sound) = pair();
        let path = dir.display();
        let main = format!(
            "general: {{ configs_folder = \"{path}\" plugins_folder = \"{path}/plugins\" \
             transports_folder = \"{path}/transports\" events_folder = \"{path}\" \
             loggers_folder = \"{path}\" debug_level = 3 session_timeout = 0 }}"
        );
        let web =
            format!("general: {{ http = true port = {http} ip = \"127.0.0.1\" https = false }}");
        let files = [
            ("janus.jcfg", main),
            ("janus.transport.http.jcfg", web),
            ("janus.plugin.streaming.jcfg", mountpoint(video, sound)),
        ];
        for (name, text) in files {
            std::fs::write(dir.join(name), text).expect("a file");
        }
        let mut command = Command::new("janus");
        command
            .arg("-F")
            .arg(dir)
            .arg("-C")
            .arg(dir.join("janus.jcfg"));
        let process = Peer::start(command.stdout(Stdio::null()), "janus");
        wait_for("Janus listens", || {
            TcpStream::connect(("127.0.0.1", http)).is_ok()
        });
        Self {
            _process: process,
            _folder: folder,
            http,
            video,
        }
    }

    pub fn rtp(&self) -> String {
        format!("rtp://127.0.0.1:{}", self.video)
    }

    /// Watches mountpoint 1 with a WebRTC peer: `answer` maps an SDP offer to an answer.
    pub fn watch(&self, answer: impl FnOnce(&str) -> String) {
        let created = self.post("", json!({ "janus": "create" }));
        let session = format!("/{}", created["data"]["id"]);
        let attach = json!({ "janus": "attach", "plugin": "janus.plugin.streaming" });
        let handle = format!("{session}/{}", self.post(&session, attach)["data"]["id"]);
        let watch = json!({ "janus": "message", "body": { "request": "watch", "id": 1 } });
        self.post(&handle, watch);
        let offer = std::iter::repeat_with(|| self.event(&session))
            .take(20)
            .find_map(|event| event["jsep"]["sdp"].as_str().map(str::to_owned))
            .expect("an offer");
        let start = json!({ "janus": "message", "body": { "request": "start" },
                            "jsep": { "type": "answer", "sdp": answer(&offer) } });
        self.post(&handle, start);
    }

    /// Sends a request to the API and returns the response.
    fn post(&self, path: &str, mut body: Value) -> Value {
        body["transaction"] = json!("test");
        let mut answer = ureq::post(self.url(path))
            .send_json(&body)
            .expect("an answer");
        let answer: Value = answer.body_mut().read_json().expect("JSON");
        assert_ne!(answer["janus"], "error", "{body}: {answer}");
        answer
    }

    /// The next event of Janus.
    fn event(&self, session: &str) -> Value {
        let mut answer = ureq::get(self.url(session)).call().expect("an event");
        let event: Value = answer.body_mut().read_json().expect("JSON");
        assert!(event["plugindata"]["data"]["error"].is_null(), "{event}");
        event
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/janus{path}", self.http)
    }
}

/// A free port p for which p + 2 is free, too.
fn pair() -> (u16, u16) {
    let free = |port: u16| std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok();
    std::iter::repeat_with(|| free_ports::<1>()[0])
        .find(|port| *port < u16::MAX - 2 && free(port + 2))
        .map(|port| (port, port + 2))
        .expect("two ports")
}

/// The folder of Janus on any architecture.
fn glob(pattern: &str) -> Option<std::path::PathBuf> {
    let (before, after) = pattern.split_once('*')?;
    let folders = std::fs::read_dir(before).ok()?.flatten();
    let mut found =
        folders.map(|entry| entry.path().join(Path::new(after.trim_start_matches('/'))));
    found.find(|path| path.is_dir())
}
