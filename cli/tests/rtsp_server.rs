// SPDX-License-Identifier: MPL-2.0
//! `stylize rtsp` with real clients on loopback.

#[path = "rtsp_server/server.rs"]
mod server;

use gst::prelude::*;
use server::Server;

/// A client that decodes the video and ends after this many frames.
fn client(address: &str, frames: u32) -> gst::Pipeline {
    let line = format!(
        "rtspsrc location=\"{address}\" protocols=tcp latency=100 name=r \
         r. ! application/x-rtp,media=video ! rtph264depay ! h264parse ! avdec_h264 \
         ! identity eos-after={frames} name=count ! videoconvert ! video/x-raw,format=RGB \
         ! fakesink name=sink enable-last-sample=true sync=false"
    );
    let pipeline = gst::parse::launch(&line).expect("a pipeline");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    // Without the sound: if it arrives first and is not linked, `rtspsrc` fails before there is video.
    let source = pipeline.by_name("r").expect("a source");
    source.connect("select-stream", false, |values| {
        let caps = values[2].get::<gst::Caps>().expect("caps");
        let media = caps
            .structure(0)
            .and_then(|s| s.get::<String>("media").ok());
        Some((media.as_deref() == Some("video")).to_value())
    });
    pipeline.set_state(gst::State::Playing).expect("plays");
    pipeline
}

/// Result of a client: the mean colour of the last frame, or the error.
fn outcome(pipeline: &gst::Pipeline) -> Result<[f64; 3], String> {
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let bus = pipeline.bus().expect("a bus");
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends);
    let result = match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => {
            let sink = pipeline.by_name("sink").expect("a sink");
            let sample = sink.property::<gst::Sample>("last-sample");
            let buffer = sample.buffer().expect("a frame").to_owned();
            let bytes = buffer.map_readable().expect("bytes");
            let mean = |c: usize| {
                let values = bytes.iter().skip(c).step_by(3).map(|v| f64::from(*v));
                values.sum::<f64>() / (bytes.len() / 3) as f64
            };
            Ok([0, 1, 2].map(mean))
        }
        Some(gst::MessageView::Error(error)) => Err(error.error().message().to_string()),
        _ => Err("nothing came in two minutes".into()),
    };
    pipeline.set_state(gst::State::Null).expect("stopped");
    result
}

#[test]
fn clients_of_a_mount_see_its_style_and_others_another() {
    stylize_cli::init().expect("GStreamer");
    let server = Server::new(&["--height", "96"]);
    let addresses = [
        "scream",
        "scream",
        "live?style=great-wave",
        "live?style=great-wave:0.5,scream:0.5",
    ];
    let clients = addresses.map(|path| client(&format!("{}/{path}", server.base), 30));
    let [one, other, wave, mixed] = clients.map(|client| outcome(&client).expect("it plays"));
    let apart = |a: [f64; 3], b: [f64; 3]| {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(apart(one, other) < 12.0, "{one:?} {other:?}");
    assert!(apart(one, wave) > 20.0, "{one:?} {wave:?}");
    assert!(
        apart(one, mixed) > 5.0 && apart(wave, mixed) > 5.0,
        "{mixed:?}"
    );
}

#[test]
fn a_style_that_is_not_there_is_refused_and_the_server_goes_on() {
    stylize_cli::init().expect("GStreamer");
    let server = Server::new(&["--height", "96"]);
    for path in ["live?style=nope", "nope"] {
        let refused = outcome(&client(&format!("{}/{path}", server.base), 5));
        assert!(refused.is_err(), "{path}: {refused:?}");
    }
    let served = outcome(&client(&format!("{}/udnie", server.base), 5));
    assert!(served.is_ok(), "{served:?}");
}

/// Status code of the response to one raw request.
fn status(server: &Server, request: &str) -> u32 {
    use std::io::{BufRead, BufReader, Write};
    let address = server.base.trim_start_matches("rtsp://");
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a line");
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    status.unwrap_or_else(|| panic!("{line:?}"))
}

fn describe(server: &Server, path: &str) -> u32 {
    let request = format!(
        "DESCRIBE {}/{path} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n",
        server.base
    );
    status(server, &request)
}

#[test]
fn an_address_is_never_launch_syntax() {
    stylize_cli::init().expect("GStreamer");
    let server = Server::new(&["--height", "96"]);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("x");
    let written = file.display();
    // Texts that close the quotes of a launch description, or add an element to it.
    for style in [
        format!(
            "great-wave:1\" ! fakesink videotestsrc num-buffers=3 ! filesink location={written} videotestsrc ! identity name=\"x"
        ),
        format!(
            "great-wave ! fakesink videotestsrc num-buffers=3 ! filesink location={written} videotestsrc ! identity"
        ),
        format!(
            "great-wave:1\\\" ! fakesink videotestsrc num-buffers=3 ! filesink location={written} videotestsrc ! identity name=\\\"x"
        ),
        "great-wave:1) ( videotestsrc".into(),
        "great-wave:1 model-file=/etc/passwd".into(),
        "great-wave:1\0".into(),
        "great-wave:NaN".into(),
        format!("great-wave{}", ",great-wave".repeat(1000)),
    ] {
        let style: String = url::form_urlencoded::byte_serialize(style.as_bytes()).collect();
        let style = style.replace('+', "%20");
        let refused = describe(&server, &format!("live?style={style}"));
        assert!(refused >= 400, "{style}: {refused}");
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(!file.exists(), "an element of the address has run");
    assert_eq!(describe(&server, "live?style=great-wave:1,scream:1"), 200);
}

#[test]
fn pipelines_are_shared_and_bounded() {
    stylize_cli::init().expect("GStreamer");
    let server = Server::new(&["--height", "96", "--max-streams", "2"]);
    // Three addresses, two pictures.
    let paths = [
        "live?style=great-wave:0.5,scream:0.5",
        "live?style=scream:2,Great_Wave:2",
        "udnie",
    ];
    let clients = paths.map(|path| client(&format!("{}/{path}", server.base), 1000));
    let playing = |client: &gst::Pipeline| {
        let sink = client.by_name("sink").expect("a sink");
        sink.property::<Option<gst::Sample>>("last-sample")
            .is_some()
    };
    let begin = std::time::Instant::now();
    while !clients.iter().all(playing) {
        assert!(begin.elapsed().as_secs() < 60, "all three play");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let refused = outcome(&client(&format!("{}/scream", server.base), 5));
    assert!(refused.is_err(), "{refused:?}");
    for client in clients {
        client.set_state(gst::State::Null).expect("stopped");
    }
    // When the clients have left, others can connect.
    let begin = std::time::Instant::now();
    while let Err(err) = outcome(&client(&format!("{}/scream", server.base), 5)) {
        assert!(begin.elapsed().as_secs() < 60, "{err}");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

/// Whether the server has closed the connection.
fn closed(mut stream: std::net::TcpStream) -> bool {
    use std::io::Read;
    let patience = Some(std::time::Duration::from_secs(40));
    stream.set_read_timeout(patience).expect("a limit");
    match stream.read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(err) => err.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn connections_are_counted_and_come_to_something() {
    use std::io::Write;
    stylize_cli::init().expect("GStreamer");
    let server = Server::new(&["--height", "96", "--max-clients", "4"]);
    let address = server.base.trim_start_matches("rtsp://");
    let connect = || std::net::TcpStream::connect(address).expect("a connection");
    let mut half = [connect(), connect(), connect()];
    for stream in &mut half {
        stream.write_all(b"OPTIONS rtsp://x").expect("sent");
    }
    // Another client plays, and continues after the idle ones are closed.
    let player = client(&format!("{}/scream", server.base), 700);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let begin = std::time::Instant::now();
    for _ in 0..20 {
        assert!(closed(connect()), "beyond the limit");
    }
    let time = begin.elapsed();
    assert!(
        time.as_secs() < 10,
        "closed at once, not for being idle: {time:?}"
    );
    assert!(half.into_iter().all(closed), "half a request");
    let again = outcome(&client(&format!("{}/scream", server.base), 5));
    assert!(again.is_ok(), "{again:?}");
    let played = outcome(&player);
    assert!(played.is_ok(), "{played:?}");
}

#[test]
fn a_client_that_does_not_read_blocks_no_other() {
    use std::io::Write;
    stylize_cli::init().expect("GStreamer");
    let server = Server::new(&["--height", "96"]);
    let address = server.base.trim_start_matches("rtsp://");
    let mut sleeper = std::net::TcpStream::connect(address).expect("a connection");
    let url = format!("{}/scream", server.base);
    // A plain TCP client, which does not read the video.
    let mut ask = |request: String| {
        use std::io::Read;
        sleeper.write_all(request.as_bytes()).expect("sent");
        let mut answer = vec![0; 8192];
        let read = sleeper.read(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..read]).into_owned()
    };
    let sdp = ask(format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n"));
    assert!(sdp.starts_with("RTSP/1.0 200"), "{sdp}");
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
    let setup = ask(format!(
        "SETUP {url}/stream=0 RTSP/1.0\r\nCSeq: 2\r\n{transport}\r\n\r\n"
    ));
    let session = setup
        .lines()
        .find_map(|line| line.strip_prefix("Session: "));
    let session = session.and_then(|id| id.split(';').next());
    let session = session.unwrap_or_else(|| panic!("{setup}")).to_owned();
    let play = format!("PLAY {url} RTSP/1.0\r\nCSeq: 3\r\nSession: {session}\r\n\r\n");
    sleeper.write_all(play.as_bytes()).expect("sent");
    let others = [0, 1].map(|_| client(&url, 250));
    for other in others {
        let played = outcome(&other);
        assert!(played.is_ok(), "{played:?}");
    }
}

#[cfg(unix)]
#[test]
fn service_managers_end_it_in_order() {
    stylize_cli::init().expect("GStreamer");
    let mut server = Server::new(&["--height", "96"]);
    let watching = client(&format!("{}/scream", server.base), 100_000);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(server.terminated(), Some(0));
    watching.set_state(gst::State::Null).expect("stopped");
}
