// SPDX-License-Identifier: MPL-2.0
//! `stylize restream` between real servers and real players on loopback: a published stream is stylized and reaches a
//! player, with picture and sound synchronized.

#[path = "restream/janus.rs"]
mod janus;
#[path = "restream/peers.rs"]
mod peers;
#[path = "restream/player.rs"]
mod player;
#[path = "restream/recording.rs"]
mod recording;
#[path = "live_server/server.rs"]
#[allow(dead_code)] // Its own tests use more of it.
mod server;
#[path = "restream/viewer.rs"]
mod viewer;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use janus::Janus;
use peers::{Nginx, Peer, Relay, Restream, publish, wait_for};
use player::record;
use recording::Recording;
use server::Server;

/// Serializes the tests: two streams at a time would overload the machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    stylize_cli::init().expect("GStreamer");
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn sigterm_and_ctrl_c_end_a_stream_in_order() {
    let _alone = alone();
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().expect("a folder");
        let playlist = folder.path().join("live.m3u8");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stylize"));
        command.args(["restream", "test"]).arg(&playlist);
        command.args(["--height", "90", "--key-interval", "1"]);
        command.args(["execution-provider=cpu", "inference-height=32"]);
        let mut restream = Peer::start(&mut command, "stylize");
        let text = || std::fs::read_to_string(&playlist).unwrap_or_default();
        wait_for("a segment", || text().contains(".ts"));
        let id = restream.0.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.expect("kill").success());
        let ended = restream.0.wait().expect("it ends");
        assert_eq!(ended.code(), Some(0), "{signal}");
        assert!(text().contains("#EXT-X-ENDLIST"), "{signal}: {}", text());
    }
}

#[test]
fn rtmp_through_nginx() {
    let _alone = alone();
    let nginx = Nginx::start();
    let (from, to) = (nginx.rtmp("in"), nginx.rtmp("out"));
    let _publisher = publish("flv", &from);
    let _restream = Restream::start(&from, &to);
    Recording::read(&record(&to)).check("RTMP");
}

#[test]
fn srt_through_srt_live_transmit() {
    let _alone = alone();
    let (before, after) = (Relay::start(), Relay::start());
    let _publisher = publish("mpegts", &before.write());
    let _restream = Restream::start(&before.read(), &after.write());
    Recording::read(&record(&after.read())).check("SRT");
}

#[test]
fn hls_through_a_web_server() {
    let _alone = alone();
    let nginx = Nginx::start();
    let from = nginx.rtmp("in");
    let playlist = nginx.folder.path().join("live.m3u8");
    let _publisher = publish("flv", &from);
    let _restream = Restream::start(&from, playlist.to_str().expect("UTF-8"));
    wait_for("a playlist of three segments", || {
        let text = std::fs::read_to_string(&playlist).unwrap_or_default();
        text.matches("#EXTINF").count() >= 3
    });
    Recording::read(&record(&nginx.http("live.m3u8"))).check("HLS");
}

/// `stylize live` as restreamer, with the picture of the other tests.
fn live_server(source: &str) -> Server {
    let source = format!("--source={source}");
    let server = Server::with(&[
        "--listen=127.0.0.1:0",
        "--width=320",
        "--height=180",
        "--framerate=15",
        "--execution-provider=cpu",
        "--quality=lite",
        "--style=starry-night",
        &source,
    ]);
    server.wait_for("pictures and sound", |stats| {
        stats["source"]["state"] == "playing" && stats["source"]["sound"] == true
    });
    server
}

const GALLERY: &str = "quality=lite style=starry-night";

#[test]
fn low_latency_hls_of_the_live_server() {
    let _alone = alone();
    let before = Relay::start();
    let _publisher = publish("mpegts", &before.write());
    let server = live_server(&before.read());
    let recording = Recording::read(&record(&format!("{}/live.m3u8", server.url)));
    recording.check_painted_by(GALLERY, "LL-HLS");
}

#[test]
fn webrtc_of_the_live_server() {
    let _alone = alone();
    let nginx = Nginx::start();
    let from = nginx.rtmp("in");
    let _publisher = publish("flv", &from);
    let server = live_server(&from);
    let recording = Recording::read(&viewer::of_live_server(&server));
    recording.check_painted_by(GALLERY, "WebRTC");
}

#[test]
fn webrtc_through_janus() {
    let _alone = alone();
    let (nginx, janus) = (Nginx::start(), Janus::start());
    let from = nginx.rtmp("in");
    let _publisher = publish("flv", &from);
    let _restream = Restream::start(&from, &janus.rtp());
    Recording::read(&viewer::of_janus(&janus)).check("Janus");
}

#[test]
fn a_publisher_that_comes_back_is_on_the_air_again() {
    let _alone = alone();
    let nginx = Nginx::start();
    let (from, to) = (nginx.rtmp("in"), nginx.rtmp("out"));
    let publisher = publish("flv", &from);
    let restream = Restream::start(&from, &to);
    drop(publisher);
    // Longer than the timeout for a frame.
    std::thread::sleep(std::time::Duration::from_secs(7));
    let _publisher = publish("flv", &from);
    restream.wait_on_air();
    Recording::read(&record(&to)).check("RTMP again");
}

#[test]
fn a_source_that_sends_nothing_is_waited_for_and_named() {
    let _alone = alone();
    let nginx = Nginx::start();
    let mut command = peers::restream();
    command.args([nginx.rtmp("nobody"), nginx.rtmp("out")]);
    let mut waiting = peers::Peer::start(command.stderr(std::process::Stdio::piped()), "");
    let err = std::io::BufReader::new(waiting.0.stderr.take().expect("a pipe"));
    let line = std::io::BufRead::lines(err).next().expect("a line");
    assert_eq!(
        line.expect("text"),
        "the source has sent no frame yet; waiting for it"
    );
}

/// Standard error of a run that cannot start.
fn refused(arguments: &[&str]) -> String {
    let mut command = peers::restream();
    let output = command.args(arguments).output().expect("it runs");
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_arguments_are_one_line_errors() {
    let _alone = alone();
    let refusals: [(&[&str], &str); 9] = [
        (
            &["nothing.mp4", "rtmp://127.0.0.1/live/x"],
            "nothing.mp4 is not a file",
        ),
        (
            &["/dev/video77", "rtmp://127.0.0.1/live/x"],
            "there is no /dev/video77",
        ),
        (
            &["nope://x", "rtmp://127.0.0.1/live/x"],
            "nope://x cannot be played",
        ),
        (
            &["test", "painted.mp4"],
            "painted.mp4 is no place to send to",
        ),
        (&["test", "rtp://127.0.0.1"], "rtp://127.0.0.1 has no port"),
        (&["test", "nowhere/live.m3u8"], "nowhere is not a folder"),
        (
            &["test", "/dev/video77"],
            "modprobe v4l2loopback video_nr=77",
        ),
        (
            &["test", "rtp://127.0.0.1:5004", "stile=x"],
            "stylize has no property stile",
        ),
        (
            &["test", "rtp://127.0.0.1:5004", "strength=much"],
            "strength=much",
        ),
    ];
    for (arguments, words) in refusals {
        let said = refused(arguments);
        assert!(
            said.contains(words) && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
}

/// Without the kernel module a plain file is the device: the error of `v4l2sink` names it.
#[test]
fn a_virtual_camera_that_is_none_is_named() {
    let _alone = alone();
    let file = tempfile::Builder::new()
        .prefix("camera")
        .tempfile_in("/dev/shm")
        .expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    let model = format!("model-file={}", peers::generator());
    let said = refused(&["--once", "--height=180", "test", path, &model]);
    assert!(said.contains(path) && said.contains("v4l2sink"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
