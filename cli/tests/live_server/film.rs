// SPDX-License-Identifier: MPL-2.0
//! A film of three seconds, as a file and over HTTP.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub fn make(folder: &Path) -> PathBuf {
    with(folder, "")
}

/// The same with a tone.
pub fn with_sound(folder: &Path) -> PathBuf {
    with(
        folder,
        "audiotestsrc num-buffers=141 ! audio/x-raw,rate=48000 ! avenc_aac ! mux.",
    )
}

fn with(folder: &Path, sound: &str) -> PathBuf {
    let file = folder.join("film.ts");
    let made = Command::new("gst-launch-1.0")
        .args(["-q", "videotestsrc", "num-buffers=60", "!"])
        .arg("video/x-raw,format=I420,width=320,height=180,framerate=20/1")
        .args(["!", "x264enc", "!", "mpegtsmux", "name=mux"])
        .args(["!", "filesink"])
        .arg(format!("location={}", file.display()))
        .args(sound.split_whitespace())
        .status();
    assert!(made.is_ok_and(|status| status.success()));
    file
}

/// Serves the film once for each request, from its beginning to its end. Requests are refused while `up` is false.
pub fn serve(up: Arc<AtomicBool>) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let film = std::fs::read(make(dir.path())).expect("a film");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (mut stream, film, up) = (stream, film.clone(), up.clone());
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                if up.load(Ordering::SeqCst) {
                    let head =
                        "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n";
                    let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n", film.len());
                    let _ = stream.write_all(&film);
                } else {
                    let _ = stream.write_all(b"HTTP/1.1 503 Gone\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    format!("http://{address}/film.ts")
}
