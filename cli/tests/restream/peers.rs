// SPDX-License-Identifier: MPL-2.0
//! Peers of `restream`: a publisher and servers, each a process with ports of its own.

use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub const RATE: u32 = 15;
/// Colour bars; for a fifth of each second the left half is black and the right half white, and a tone sounds. Not a
/// white frame, because instance normalization removes a uniform change.
const PICTURE: &str = "smptebars=size=320x180:rate=15,\
    drawbox=c=black:t=fill:w=160:enable='lt(mod(t,1),0.2)',\
    drawbox=c=white:t=fill:x=160:enable='lt(mod(t,1),0.2)'";
/// A quiet tone between, because jitter buffers of browsers stretch and shorten silence.
const SOUND: &str =
    "aevalsrc='sin(2*PI*300*t)*0.05+if(lt(mod(t,1),0.2),sin(2*PI*1000*t)*0.5,0)':s=48000";

/// A child process that is killed when the test ends.
pub struct Peer(pub Child);

impl Peer {
    pub fn start(command: &mut Command, package: &str) -> Self {
        let child = command.spawn();
        Self(child.unwrap_or_else(|err| {
            let name = command.get_program().display();
            panic!("{name} does not start ({err}); install it with `apt install {package}`")
        }))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Fails only if the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Free ports, for TCP and UDP.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let taken: Vec<_> = std::iter::repeat_with(|| {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = tcp.local_addr().expect("an address").port();
        UdpSocket::bind(("127.0.0.1", port))
            .ok()
            .map(|udp| (tcp, udp, port))
    })
    .flatten()
    .take(N)
    .collect();
    std::array::from_fn(|i| taken[i].2)
}

/// Waits until the condition holds.
#[track_caller]
pub fn wait_for(what: impl Display, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{what}: not in a minute"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]);
    command
}

/// The publisher: `ffmpeg` in real time, as in the manual.
pub fn publish(format: &str, address: &str) -> Peer {
    let mut command = ffmpeg();
    command.args([
        "-re", "-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND,
    ]);
    command.args([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
    ]);
    command.args([
        "-g", "15", "-pix_fmt", "yuv420p", "-b:v", "1500k", "-c:a", "aac",
    ]);
    Peer::start(command.args(["-f", format, address]), "ffmpeg")
}

/// What is published, bars and flash, as PNG files.
pub fn pictures(folder: &Path) -> [std::path::PathBuf; 2] {
    [("bars.png", "0.5"), ("flash.png", "0")].map(|(name, at)| {
        let file = folder.join(name);
        let mut command = ffmpeg();
        command.args(["-f", "lavfi", "-i", PICTURE, "-ss", at, "-frames:v", "1"]);
        let mut made = Peer::start(command.arg(&file), "ffmpeg");
        assert!(made.0.wait().is_ok_and(|status| status.success()), "{name}");
        file
    })
}

/// nginx with its RTMP module, and files over HTTP.
pub struct Nginx {
    _process: Peer,
    pub folder: tempfile::TempDir,
    rtmp: u16,
    http: u16,
}

impl Nginx {
    pub fn start() -> Self {
        let module = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
        assert!(
            Path::new(module).is_file(),
            "{module} is missing; install it with `apt install nginx libnginx-mod-rtmp`"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().display();
        let [rtmp, http] = free_ports();
        // As root, nginx would switch to a user that may not read the folder.
        let config = format!(
            "daemon off; master_process off; pid {dir}/pid; load_module {module};
             events {{}}
             rtmp {{ access_log off; server {{
                 listen 127.0.0.1:{rtmp};
                 application live {{ live on; }}
             }} }}
             http {{ access_log off;
                 client_body_temp_path {dir}/1; proxy_temp_path {dir}/2; fastcgi_temp_path {dir}/3;
                 uwsgi_temp_path {dir}/4; scgi_temp_path {dir}/5;
                 server {{ listen 127.0.0.1:{http}; root {dir}; }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).expect("a file");
        let mut command = Command::new("nginx");
        command
            .args(["-e", "stderr", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(file);
        let process = Peer::start(&mut command, "nginx libnginx-mod-rtmp");
        wait_for("nginx listens", || {
            TcpStream::connect(("127.0.0.1", rtmp)).is_ok()
        });
        Self {
            _process: process,
            folder,
            rtmp,
            http,
        }
    }

    pub fn rtmp(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.rtmp)
    }

    pub fn http(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.http)
    }
}

/// `srt-live-transmit`, which relays from a publisher to a player.
pub struct Relay {
    _process: Peer,
    write: u16,
    read: u16,
}

impl Relay {
    pub fn start() -> Self {
        Self::with("")
    }

    /// With parameters for both of its URIs, such as `&latency=20`.
    pub fn with(more: &str) -> Self {
        let [write, read] = free_ports();
        let [from, to] =
            [write, read].map(|port| format!("srt://127.0.0.1:{port}?mode=listener{more}"));
        let mut command = Command::new("srt-live-transmit");
        command.args(["-q", "-a:yes", &from, &to]);
        let process = Peer::start(&mut command, "srt-tools");
        // Then the ports are taken by this process.
        wait_for("srt-live-transmit listens", || {
            [write, read]
                .iter()
                .all(|port| UdpSocket::bind(("127.0.0.1", *port)).is_err())
        });
        Self {
            _process: process,
            write,
            read,
        }
    }

    pub fn write(&self) -> String {
        format!("srt://127.0.0.1:{}?mode=caller", self.write)
    }

    pub fn read(&self) -> String {
        format!("srt://127.0.0.1:{}?mode=caller", self.read)
    }
}

/// The program itself.
pub struct Restream {
    _process: Peer,
    lines: mpsc::Receiver<String>,
}

/// The program, without arguments.
pub fn restream() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stylize"));
    command.arg("restream");
    command
}

/// A small generator of one style.
pub fn generator() -> String {
    format!("{}/../models/starry-night.onnx", env!("CARGO_MANIFEST_DIR"))
}

impl Restream {
    /// Returns when the stream has started.
    pub fn start(from: &str, to: &str) -> Self {
        let model = format!("model-file={}", generator());
        // The frames are compared with paintings of this size.
        let restream = Self::with(&[
            from,
            to,
            "--bitrate=3000",
            "--key-interval=1",
            &model,
            "adapt=off",
        ]);
        restream.wait_on_air();
        restream
    }

    pub fn with(arguments: &[&str]) -> Self {
        let mut command = restream();
        command.args(arguments);
        let mut process = Peer::start(command.stdout(Stdio::piped()), "");
        let out = BufReader::new(process.0.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            _process: process,
            lines,
        }
    }

    /// The line that it prints then.
    pub fn on_air(&self) -> String {
        let line = self.lines.recv_timeout(Duration::from_secs(60));
        line.expect("a line within a minute")
    }

    pub fn wait_on_air(&self) {
        let line = self.on_air();
        assert_eq!(line, "on air: 320x180 at 15.00 frames a second, with sound");
    }
}
