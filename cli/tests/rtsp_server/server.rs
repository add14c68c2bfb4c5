// SPDX-License-Identifier: MPL-2.0
//! The server as a child process.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

pub struct Server {
    child: Child,
    /// Standard output, kept open as a shell does.
    _output: BufReader<ChildStdout>,
    /// rtsp://127.0.0.1:port
    pub base: String,
}

impl Server {
    pub fn new(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stylize"))
            .args(["rtsp", "--port", "0", "--quality", "lite"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let (base, _) = line.split_once("/live").expect("an address");
        Self {
            base: base.to_string(),
            _output: output,
            child,
        }
    }
}

impl Server {
    /// Sends SIGTERM. Returns the exit code, if the process ends within ten seconds.
    pub fn terminated(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(sent.expect("kill").success());
        for _ in 0..500 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
