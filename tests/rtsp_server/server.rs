// SPDX-License-Identifier: MPL-2.0
//! The server as a child process.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

pub struct Server {
    child: Child,
    /// Kept open, as whoever starts a server does.
    _output: BufReader<ChildStdout>,
    /// rtsp://127.0.0.1:port
    pub base: String,
}

impl Server {
    pub fn new(arguments: &[&str]) -> Self {
        // Cargo builds examples beside the tests.
        let test = std::env::current_exe().expect("this test");
        let folder = test.parent().and_then(|deps| deps.parent());
        let program = folder.expect("a folder").join("examples/rtsp-server");
        assert!(
            program.is_file(),
            "{program:?} is missing; build it with `cargo build --example rtsp-server`"
        );
        let mut child = Command::new(program)
            .args(["--port", "0", "--quality", "lite"])
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

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
