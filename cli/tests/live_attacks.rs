// SPDX-License-Identifier: MPL-2.0
//! Attacks on a running `stylize live`, which must continue to serve other clients.

#[allow(dead_code)] // The other tests of the server use the rest.
#[path = "live_server/server.rs"]
mod server;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use server::Server;

/// Serializes the tests, so that an attack of one does not slow down another.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(server: &Server) -> TcpStream {
    let address = server.url.strip_prefix("http://").expect("an address");
    let stream = TcpStream::connect(address).expect("a connection");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a limit");
    stream
}

/// Status code of the response to a raw request; `None` if the connection is closed without one.
fn status(stream: &mut TcpStream, request: &str) -> Option<u16> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}

/// A browser's offer, without a browser behind it.
const OFFER: &str = "v=0\r\n\
    o=- 1 2 IN IP4 127.0.0.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=rtcp:9 IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:abcd\r\n\
    a=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=recvonly\r\n\
    a=rtcp-mux\r\n\
    a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n";

fn offer() -> String {
    format!(
        "POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    )
}

#[test]
fn pages_of_other_sites_get_nothing() {
    let _alone = alone();
    let server = Server::start(&[]);
    let paths = [
        "/stream.mjpeg",
        "/live.m3u8",
        "/hls/media.m3u8",
        "/api/styles/scream.jpg",
        "/api/stats",
        "/api/events",
    ];
    for path in paths {
        for site in ["cross-site", "same-site", "nonsense"] {
            let (status, answer) = server.request("GET", path, &[("Sec-Fetch-Site", site)], "");
            assert_eq!(status, 403, "{path} {site}: {answer}");
            let text = answer["error"].as_str().unwrap_or_default();
            assert!(text.contains("Sec-Fetch-Site"), "{answer}");
        }
    }
    for site in ["same-origin", "none"] {
        let (status, _) = server.request("GET", "/api/stats", &[("Sec-Fetch-Site", site)], "");
        assert_eq!(status, 200, "{site}");
    }
    for path in [
        "/",
        "/app.js",
        "/api/stats",
        "/api/styles/scream.jpg",
        "/nowhere",
    ] {
        let answer = server.fetch("GET", path, &[], "");
        let policy = answer.headers().get("cross-origin-resource-policy");
        let policy = policy.map(|policy| policy.as_bytes());
        assert_eq!(policy, Some(&b"same-origin"[..]), "{path}");
    }
    // A response without end, after its header.
    let mut stream = connect(&server);
    let request = "GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let head = lines.take_while(|line| !line.is_empty());
    let head = head.collect::<Vec<_>>().join("\n").to_lowercase();
    assert!(
        head.contains("cross-origin-resource-policy: same-origin"),
        "{head}"
    );
}

#[test]
fn a_thousand_offers_at_once_make_no_more_viewers_than_there_may_be() {
    const MOST: usize = 4;
    let _alone = alone();
    let mut server = Server::start(&["--max-viewers=4"]);
    server.wait_for("a picture", |stats| stats["frames"].as_u64() > Some(5));
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                // All requests are sent before the first response.
                let mut streams = (0..20).map(|_| connect(&server)).collect::<Vec<_>>();
                for stream in &mut streams {
                    // Closed already if there are too many connections.
                    let _ = stream.write_all(offer().as_bytes());
                }
                for mut stream in streams {
                    let answer = status(&mut stream, "");
                    answers.lock().expect("answers").push(answer);
                }
            });
        }
    });
    let answers = answers.into_inner().expect("answers");
    let created = answers.iter().filter(|a| **a == Some(201)).count();
    assert!((1..=MOST).contains(&created), "{created} viewers");
    let others = answers.iter().flatten().filter(|status| **status != 201);
    assert!(
        others.clone().all(|status| *status == 503),
        "{:?}",
        others.collect::<Vec<_>>()
    );
    let stats = server.stats();
    assert!(
        stats["viewers"]["webrtc"].as_u64() <= Some(MOST as u64),
        "{stats}"
    );
    assert!(server.alive());
    // The offers were never connected, so their permits are released.
    server.wait_for("places", |stats| stats["viewers"]["webrtc"] == 0);
    assert_eq!(status(&mut connect(&server), &offer()), Some(201));
}

/// Whether the server has closed the connection.
fn closed(stream: &mut TcpStream) -> bool {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        // With unread data, the error is a reset.
        Err(err) => err.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn requests_that_do_not_end_are_given_up() {
    let _alone = alone();
    let mut server = Server::start(&["--max-viewers=1"]);
    let begin = Instant::now();
    // More connections than are allowed, each with half a request.
    let mut half: Vec<TcpStream> = (0..100).map(|_| connect(&server)).collect();
    for stream in &mut half {
        let _ = stream.write_all(b"GET /api/stats HTTP/1.1\r\nHost: loc");
    }
    assert!(half.iter_mut().all(closed));
    let time = begin.elapsed();
    assert!(time < Duration::from_secs(30), "{time:?}");
    server.stats();

    // A body that is sent byte by byte.
    let mut slow = connect(&server);
    let head = "POST /api/style HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    slow.write_all(head.as_bytes()).expect("sent");
    let begin = Instant::now();
    let mut writer = slow.try_clone().expect("the same");
    let trickle = std::thread::spawn(move || {
        while writer.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    let answer = status(&mut slow, "");
    assert!(matches!(answer, Some(408) | None), "{answer:?}");
    let time = begin.elapsed();
    assert!(time < Duration::from_secs(45), "{time:?}");
    let _ = slow.shutdown(Shutdown::Both);
    trickle.join().expect("the end");
    // A body that is too large, or too many header fields.
    let large = format!(
        "POST /api/style HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
        1 << 20,
        " ".repeat(1 << 17)
    );
    let answer = status(&mut connect(&server), &large);
    assert!(matches!(answer, Some(413) | None), "{answer:?}");
    let many = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X: y\r\n".repeat(1000)
    );
    let answer = status(&mut connect(&server), &many);
    assert!(matches!(answer, Some(431 | 400) | None), "{answer:?}");
    assert!(server.alive());
    server.stats();
}

#[test]
fn readers_that_do_not_read_lose_their_place() {
    let _alone = alone();
    // Large frames soon fill the socket's buffers.
    let server = Server::with(&[
        "--listen=127.0.0.1:0",
        "--width=640",
        "--height=360",
        "--framerate=20",
        "--execution-provider=cpu",
        "--threads=1",
        "--max-viewers=2",
    ]);
    server.wait_for("a picture", |stats| stats["frames"].as_u64() > Some(5));
    let request = "GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut sleepers = [connect(&server), connect(&server)];
    for stream in &mut sleepers {
        stream.write_all(request.as_bytes()).expect("sent");
    }
    server.wait_for("two viewers", |stats| stats["viewers"]["mjpeg"] == 2);
    assert_eq!(status(&mut connect(&server), request), Some(503));
    server.wait_for("none", |stats| stats["viewers"]["mjpeg"] == 0);
    assert_eq!(status(&mut connect(&server), request), Some(200));
}

#[cfg(unix)]
#[test]
fn service_managers_end_it_in_order() {
    let _alone = alone();
    let mut server = Server::start(&[]);
    let text =
        |answer: ureq::http::Response<Vec<u8>>| String::from_utf8_lossy(answer.body()).into_owned();
    let main = text(server.fetch("GET", "/live.m3u8", &[], ""));
    let media = main.lines().last().expect("an address");
    let media = format!("/{media}");
    let growing = text(server.fetch("GET", &media, &[], ""));
    assert!(growing.contains("PRELOAD-HINT"), "{growing}");
    server.signal("TERM");
    let begin = Instant::now();
    // A response may be in progress when the signal arrives.
    let ended = loop {
        let list = text(server.fetch("GET", &media, &[], ""));
        if list.contains("#EXT-X-ENDLIST") {
            break list;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{list}");
    };
    assert!(!ended.contains("PRELOAD-HINT"), "{ended}");
    let code = server.ended(Duration::from_secs(20));
    assert_eq!(code, Some(0), "after {:?}", begin.elapsed());
}
