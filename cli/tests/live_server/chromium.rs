// SPDX-License-Identifier: MPL-2.0
//! A real browser without a window, driven by its DevTools protocol.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

pub struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
    port: u16,
}

/// One tab.
pub struct Page {
    socket: WebSocket<TcpStream>,
    last: u64,
}

impl Browser {
    /// `None`, with a message, if Chromium is not installed.
    pub fn start() -> Option<Self> {
        let found = PROGRAMS.iter().find(|program| {
            let version = Command::new(program).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        });
        let Some(program) = found else {
            println!("skipped: no Chromium here (scripts/setup.sh installs it)");
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(program)
            .args([
                "--headless",
                "--disable-gpu",
                "--mute-audio",
                "--no-first-run",
            ])
            // The sandbox does not work as root, as in containers; all pages are those of this project.
            .args(["--no-sandbox", "--remote-debugging-port=0"])
            .args(["--autoplay-policy=no-user-gesture-required", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stderr(Stdio::piped())
            .spawn()
            .expect("Chromium runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            let (_, address) = line.split_once("DevTools listening on ws://")?;
            address.split_once('/')?.0.rsplit_once(':')?.1.parse().ok()
        });
        // Reads the rest of standard error, so that Chromium does not block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            child,
            _profile: profile,
            port: port.expect("the port that Chromium says"),
        })
    }

    pub fn open(&self, url: &str) -> Page {
        let new = format!("http://127.0.0.1:{}/json/new?{url}", self.port);
        let mut answer = ureq::put(new).send_empty().expect("a tab");
        let text = answer.body_mut().read_to_string().expect("text");
        let tab: Value = serde_json::from_str(&text).expect("JSON");
        let address = tab["webSocketDebuggerUrl"].as_str().expect("an address");
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        let limit = Some(Duration::from_secs(120));
        stream.set_read_timeout(limit).expect("a limit");
        let (socket, _) = tungstenite::client(address, stream).expect("a WebSocket");
        Page { socket, last: 0 }
    }

    /// Kills it like a crash, so that nothing is sent to the server.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Page {
    pub fn command(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let command = json!({ "id": self.last, "method": method, "params": params });
        self.socket
            .send(Message::text(command.to_string()))
            .expect("sent");
        loop {
            let message = self.socket.read().expect("a reply");
            let Ok(text) = message.to_text() else {
                continue;
            };
            let mut reply: Value = serde_json::from_str(text).unwrap_or_default();
            if reply["id"] == self.last {
                assert!(reply["error"].is_null(), "{method}: {reply}");
                return reply["result"].take();
            }
        }
    }

    /// The value of an expression, which may be a promise.
    pub fn run(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.command("Runtime.evaluate", params);
        let wrong = &result["exceptionDetails"];
        assert!(wrong.is_null(), "{expression}: {wrong:#}");
        result["result"]["value"].take()
    }

    /// Waits until the expression is true.
    pub fn wait_for(&mut self, expression: &str) {
        let begin = Instant::now();
        while self.run(expression) != json!(true) {
            if begin.elapsed() > Duration::from_secs(60) {
                let text = self.run("document.body.innerText");
                panic!("{expression} did not become true; the page says {text}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sets size and colour scheme, and writes a screenshot as JPEG.
    pub fn screenshot(&mut self, width: u32, height: u32, scheme: &str, file: &Path) {
        let phone = width < 600;
        self.command(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone }),
        );
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
        std::thread::sleep(Duration::from_millis(1500));
        let shot = self.command(
            "Page.captureScreenshot",
            json!({ "format": "jpeg", "quality": 72 }),
        );
        let data = shot["data"].as_str().expect("a picture");
        std::fs::write(file, base64(data)).expect("written");
    }
}

/// Decodes base64.
fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for six in text.bytes().filter_map(value) {
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
