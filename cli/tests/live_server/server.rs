// SPDX-License-Identifier: MPL-2.0
//! The server as a child process, and a small client of its API.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

pub struct Server {
    child: Child,
    /// http://127.0.0.1:port
    pub url: String,
    /// Lines of its standard output.
    pub lines: Vec<String>,
}

impl Server {
    /// A small picture from the test source, on a free port.
    pub fn start(more: &[&str]) -> Self {
        let mut small = vec!["--width=320", "--height=180", "--framerate=20"];
        small.extend(["--execution-provider=cpu", "--threads=1"]);
        let listens = more.iter().any(|arg| arg.starts_with("--listen"));
        small.extend((!listens).then_some("--listen=127.0.0.1:0"));
        small.extend(more);
        Self::with(&small)
    }

    pub fn with(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stylize"))
            .arg("live")
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server runs");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let first = receiver.recv_timeout(Duration::from_secs(60));
        let first = first.expect("a line within a minute");
        let url = first.strip_prefix("listening on ").expect("an address");
        let url = url.trim_end_matches('/').replace("0.0.0.0", "127.0.0.1");
        let mut lines = vec![first];
        while let Ok(line) = receiver.recv_timeout(Duration::from_millis(200)) {
            lines.push(line);
        }
        Self { child, url, lines }
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.request("GET", path, &[], "")
    }

    pub fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.request("POST", path, &[], body)
    }

    /// Status and body; the body is null if it is not JSON.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let response = self.fetch(method, path, headers, body);
        let value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        (response.status().as_u16(), value)
    }

    /// The raw response.
    pub fn fetch(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> ureq::http::Response<Vec<u8>> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).expect("a request");
        let response = ureq::Agent::new_with_config(config)
            .run(request)
            .expect("an answer");
        let (parts, mut body) = response.into_parts();
        // Some responses have no end.
        let body = body.read_to_vec().unwrap_or_default();
        ureq::http::Response::from_parts(parts, body)
    }

    pub fn stats(&self) -> Value {
        let (status, stats) = self.get("/api/stats");
        assert_eq!(status, 200, "{stats}");
        stats
    }

    /// Waits until the statistics satisfy a condition.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let stats = self.stats();
            if wanted(&stats) {
                return stats;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{what} did not happen: {stats:#}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sends a signal by its name.
    #[allow(dead_code)] // Not all tests end it this way.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill").success());
    }

    /// Its exit code, if it ends in time.
    #[allow(dead_code)] // Not all tests end it this way.
    pub fn ended(&mut self, limit: Duration) -> Option<i32> {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
