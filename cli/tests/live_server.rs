// SPDX-License-Identifier: MPL-2.0
//! `stylize live` as users run it: as a process, over HTTP and WebSocket, and in a real browser.

#[path = "live_server/chromium.rs"]
mod chromium;
#[path = "live_server/film.rs"]
mod film;
#[path = "live_server/hls.rs"]
mod hls;
#[path = "../src/live/hls_window.rs"]
mod hls_window;
#[path = "live_server/page.rs"]
mod page;
#[path = "live_server/server.rs"]
mod server;
#[path = "live_server/sound.rs"]
mod sound;
#[path = "live_server/window.rs"]
mod window;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chromium::Browser;
use page::{plays, watched};
use serde_json::{Value, json};
use server::Server;
use tungstenite::Message;

/// Serializes the tests: two servers and a browser at a time would overload the machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().expect("an error as JSON")
}

/// Only `/api/…` paths that need no peer; the others have tests of their own.
#[test]
fn the_api_answers_and_refuses_in_json() {
    let _alone = alone();
    let mut server = Server::start(&[]);
    let (status, styles) = server.get("/api/styles");
    let styles = styles.as_array().expect("an array").clone();
    assert!(status == 200 && styles.contains(&json!("great-wave")));

    let body = r#"{"style": "great-wave", "transition_ms": 300}"#;
    let (status, state) = server.post("/api/style", body);
    assert_eq!(status, 200, "{state}");
    assert_eq!(state["style"], "great-wave");
    assert_eq!(state["transition_ms"], 300);
    let body = r#"{"strength": 0.5, "stability": 0.25, "style_a": "scream", "style_b": "udnie", "style_mix": 0.3}"#;
    let (status, state) = server.post("/api/controls", body);
    assert_eq!(status, 200, "{state}");
    let (_, controls) = server.get("/api/controls");
    for (name, value) in [("strength", json!(0.5)), ("style_b", json!("udnie"))] {
        assert_eq!(controls[name], value, "{controls}");
        assert_eq!(state[name], value, "{state}");
    }
    // A style replaces a mix.
    let (_, state) = server.post("/api/style", r#"{"style": "scream"}"#);
    assert_eq!(state["style_b"], Value::Null, "{state}");
    let (_, state) = server.post("/api/controls", r#"{"style_a": "scream"}"#);
    assert_eq!(state["style_a"], "scream");
    let (_, state) = server.post("/api/controls", r#"{"style_a": null}"#);
    assert_eq!(state["style_a"], Value::Null);

    let refusals = [
        ("POST", "/api/style", r#"{"style": "#, 400, "not JSON"),
        ("POST", "/api/style", r#"{"style": 7}"#, 422, "string"),
        ("POST", "/api/style", r#"{"styel": "x"}"#, 422, "styel"),
        (
            "POST",
            "/api/style",
            r#"{"style": "graet-wave"}"#,
            422,
            "did you mean \"great-wave\"?",
        ),
        (
            "POST",
            "/api/style",
            r#"{"style": "scream:-1"}"#,
            422,
            "scream:-1",
        ),
        (
            "POST",
            "/api/style",
            r#"{"style": "scream", "transition_ms": 1e9}"#,
            422,
            "transition_ms",
        ),
        (
            "POST",
            "/api/style",
            r#"{"style": "scream", "transition_ms": 70000}"#,
            422,
            "60000",
        ),
        (
            "POST",
            "/api/controls",
            r#"{"strength": 1.5}"#,
            422,
            "strength is 1.5; give 0 to 1",
        ),
        (
            "POST",
            "/api/controls",
            r#"{"strength": "much"}"#,
            422,
            "much",
        ),
        (
            "POST",
            "/api/controls",
            r#"{"strength": 0.1, "style_b": "scraem"}"#,
            422,
            "\"scream\"",
        ),
        ("POST", "/api/controls", "[]", 422, ""),
        ("GET", "/api/style", "", 405, "GET"),
        ("GET", "/nowhere", "", 404, "/nowhere"),
        ("GET", "/api/styles/nothing.jpg", "", 404, "nothing"),
        ("DELETE", "/whep/1", "", 404, "session"),
        ("PATCH", "/whep/1", "", 405, "DELETE"),
    ];
    for (method, path, body, wanted, part) in refusals {
        let (status, answer) = server.request(method, path, &[], body);
        assert_eq!(status, wanted, "{method} {path} {body}: {answer}");
        assert!(error(&answer).contains(part), "{body}: {answer}");
    }
    let (_, controls) = server.get("/api/controls");
    assert_eq!(
        controls["strength"], 0.5,
        "nothing of a wrong body is taken"
    );
    let (status, answer) = server.post("/api/style", &" ".repeat(100_000));
    assert_eq!(status, 413, "{answer}");
    let sdp = [("Content-Type", "application/sdp")];
    for (headers, body, wanted) in [
        (&[][..], "", 415),
        (&sdp, "hello", 422),
        (
            &sdp,
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
            422,
        ),
    ] {
        let (status, answer) = server.request("POST", "/whep", headers, body);
        assert_eq!(status, wanted, "{answer}");
        error(&answer);
    }
    // Pages of other origins, and foreign host names of this address.
    for header in [("Origin", "https://example.org"), ("Host", "example.org")] {
        let (status, answer) = server.request("GET", "/api/stats", &[header], "");
        assert_eq!(status, 403, "{answer}");
        assert!(error(&answer).contains("example.org"), "{answer}");
    }

    let (_, openapi) = server.get("/api/openapi.json");
    for (path, methods) in openapi["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            if path == "/stream.mjpeg" {
                continue;
            }
            let path = path.replace("{name}", "great-wave").replace("{id}", "1");
            let path = path.replace("{file}", "media.m3u8");
            let (status, answer) = server.request(&method.to_uppercase(), &path, &[], "");
            assert!(status != 405, "{method} {path}: {answer}");
            assert!(
                status != 404 || path == "/whep/1",
                "{method} {path}: {answer}"
            );
        }
    }
    // Every tile is painted, sooner or later.
    let begin = Instant::now();
    while styles.iter().any(|style| {
        let path = format!("/api/styles/{}.jpg", style.as_str().expect("a name"));
        server.get(&path).0 != 200
    }) {
        assert!(begin.elapsed() < Duration::from_secs(120), "all tiles");
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(server.alive());
}

#[test]
fn a_thousand_fast_changes_of_style_lose_no_frame() {
    let _alone = alone();
    let mut server = Server::start(&[]);
    let before = server.wait_for("live frames", |stats| {
        stats["fps"].as_f64() > Some(5.0) && stats["source"]["state"] == "playing"
    });
    let styles = server.get("/api/styles").1;
    let styles = styles.as_array().expect("styles");
    let begin = Instant::now();
    for (number, style) in (0..1000).zip(styles.iter().cycle()) {
        let body = json!({ "style": style, "transition_ms": number % 400 });
        let (status, state) = server.post("/api/style", &body.to_string());
        assert_eq!((status, &state["style"]), (200, style));
    }
    let time = begin.elapsed();
    let after = server.stats();
    println!("1000 changes in {time:.1?}; {after}");
    let frames = |stats: &Value| stats["frames"].as_u64().expect("frames");
    assert!(frames(&after) > frames(&before), "it went on: {after}");
    assert_eq!(after["failed"], 0, "{after}");
    assert!(server.alive());
}

#[test]
fn requests_with_the_token_are_allowed() {
    let _alone = alone();
    let server = Server::start(&["--token=open-sesame"]);
    let given = [("Authorization", "Bearer open-sesame")];
    let wrong = [("Authorization", "Bearer open-barley")];
    let body = r#"{"style": "scream"}"#;
    for (path, headers, wanted) in [
        ("/api/style", &[][..], 401),
        ("/api/style", &wrong, 401),
        ("/api/style", &given, 200),
        ("/api/style?token=open-sesame", &[], 200),
        ("/api/style?token=open-barley", &[], 401),
    ] {
        let (status, answer) = server.request("POST", path, headers, body);
        assert_eq!(status, wanted, "{path}: {answer}");
        if wanted == 401 {
            assert!(error(&answer).contains("token"), "{answer}");
        }
    }
    for path in [
        "/api/stats",
        "/api/events",
        "/stream.mjpeg",
        "/whep/1",
        "/live.m3u8",
    ] {
        assert_eq!(server.get(path).0, 401, "{path}");
    }
    assert_eq!(server.get("/").0, 200, "the page asks for it");
    drop(server);

    // On a public address a token is generated.
    let server = Server::start(&["--listen=0.0.0.0:0"]);
    assert_eq!(server.get("/api/stats").0, 401);
    let line = server.lines.get(1).expect("a second line");
    let (_, token) = line.split_once("#token=").expect("a token");
    assert_eq!(token.len(), 32);
    assert_eq!(server.get(&format!("/api/stats?token={token}")).0, 200);
}

#[test]
fn events_tell_every_change_at_once() {
    let _alone = alone();
    let server = Server::start(&[]);
    let address = server.url.replace("http", "ws") + "/api/events";
    let host = server.url.trim_start_matches("http://");
    let stream = TcpStream::connect(host).expect("a connection");
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).expect("a limit");
    let (mut socket, _) = tungstenite::client(address, stream).expect("a WebSocket");
    let mut next = || loop {
        if let Message::Text(text) = socket.read().expect("an event") {
            return serde_json::from_str::<Value>(&text).expect("JSON");
        }
    };
    let first = next();
    assert!(first["state"]["strength"].is_number(), "{first}");
    assert!(first["stats"]["fps"].is_number(), "{first}");
    let begin = Instant::now();
    server.post("/api/style", r#"{"style": "scream"}"#);
    while next()["state"]["style"] != "scream" {
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
    let begin = Instant::now();
    (0..3).for_each(|_| drop(next()));
    // Once a second; a busy machine may be late.
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_source_that_dies_is_built_anew_while_the_output_goes_on() {
    let _alone = alone();
    let up = Arc::new(AtomicBool::new(true));
    let server = Server::start(&["--source", &film::serve(up.clone())]);
    let playing = |stats: &Value| stats["source"]["state"] == "playing";
    let lost = |stats: &Value| stats["source"]["state"] == "lost";
    server.wait_for("the film", playing);
    up.store(false, Ordering::SeqCst);
    let stats = server.wait_for("its end", lost);
    assert!(stats["source"]["error"].is_string(), "{stats}");
    let count = |stats: &Value| {
        stats["frames"].as_u64().unwrap_or(0) + stats["repeated"].as_u64().unwrap_or(0)
    };
    std::thread::sleep(Duration::from_secs(2));
    let later = server.stats();
    assert!(
        lost(&later) && count(&later) > count(&stats) + 10,
        "{later}"
    );
    up.store(true, Ordering::SeqCst);
    let stats = server.wait_for("its return", playing);
    assert!(stats["source"]["restarts"].as_u64() > Some(0), "{stats}");
}

#[test]
fn a_file_begins_again_at_its_end() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let file = film::make(dir.path());
    let server = Server::start(&["--source", &file.display().to_string()]);
    server.wait_for("the film", |stats| stats["source"]["state"] == "playing");
    // The film has three seconds.
    std::thread::sleep(Duration::from_secs(7));
    let stats = server.stats();
    assert_eq!(stats["source"]["state"], "playing", "{stats}");
    assert_eq!(stats["source"]["restarts"], 0, "{stats}");
}

/// Records the time of every frame, and can read a pixel.
const WATCH: &str = "
    window.times = [];
    const note = (now) => { times.push(now); video.requestVideoFrameCallback(note); };
    const video = document.getElementById('video');
    video.requestVideoFrameCallback(note);
    window.pixels = () => {
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [32, 18];
        const context = canvas.getContext('2d');
        context.drawImage(video, 0, 0, 32, 18);
        return [...context.getImageData(0, 0, 32, 18).data];
    };
    window.apart = (a, b) => a.reduce((sum, v, i) => sum + Math.abs(v - b[i]), 0) / a.length;";

#[test]
fn a_browser_plays_it_and_a_change_of_style_is_no_gap() {
    let Some((_alone, _browser, mut server, mut page)) = watched() else {
        return;
    };
    let size = page.run("[video.videoWidth, video.videoHeight]");
    assert_eq!(size, json!([320, 180]));
    page.run(WATCH);
    page.wait_for("document.querySelectorAll('.tile img').length == document.querySelectorAll('.tile').length");

    // A change of style must exceed the picture's own movement.
    let change = "(async () => {
        const click = async (style, glide) => {
            document.getElementById('transition').value = glide;
            document.querySelector(`[data-style=${style}]`).click();
        };
        const wait = (ms) => new Promise((done) => setTimeout(done, ms));
        await click('great-wave', 0);
        await wait(2000);
        const before = pixels();
        await wait(400);
        const still = apart(before, pixels());
        times.length = 0;
        const begin = performance.now();
        await click('scream', 0);
        let seen = null;
        while (performance.now() - begin < 5000) {
            await new Promise((done) => video.requestVideoFrameCallback(done));
            if (apart(before, pixels()) > still + 12) { seen = performance.now() - begin; break; }
        }
        await click('udnie', 500);
        await wait(3000);
        const gaps = times.slice(1).map((time, i) => time - times[i]);
        return { still, seen, after: apart(before, pixels()), frames: times.length, gap: Math.max(...gaps) };
    })()";
    let seen = page.run(change);
    println!("{seen}");
    assert!(seen["seen"].is_number(), "the style changed: {seen}");
    assert!(seen["frames"].as_u64() > Some(20), "{seen}");
    // The limit detects a stalled stream, not a busy machine.
    assert!(seen["gap"].as_f64() < Some(3000.0), "{seen}");

    // A crashed viewer affects no other, and is removed after the timeout.
    let mut other = Browser::start().expect("another");
    let mut theirs = other.open(&server.url);
    plays(&mut theirs);
    assert_eq!(server.stats()["viewers"]["webrtc"], 2);
    page.run("times.length = 0; 0");
    other.kill();
    server.wait_for("the crash", |stats| stats["viewers"]["webrtc"] == 1);
    let gap = "Math.max(...times.slice(1).map((time, i) => time - times[i]))";
    let gap = page.run(gap);
    println!("longest gap around the crash: {gap} ms");
    assert!(gap.as_f64() < Some(3000.0), "{gap}");
    // A viewer that leaves ends its session.
    page.run("location.href = 'about:blank'; 0");
    server.wait_for("the end", |stats| stats["viewers"]["webrtc"] == 0);
    assert!(server.alive());
}

/// Also for curl: frames that every browser shows.
#[test]
fn mjpeg_for_clients_without_webrtc() {
    let _alone = alone();
    let server = Server::start(&[]);
    let host = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("a connection");
    write!(stream, "GET /stream.mjpeg HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("sent");
    let mut seen = Vec::new();
    let mut chunk = [0; 65536];
    let is_frame = |bytes: &&[u8]| *bytes == [0xff, 0xd8, 0xff];
    while seen.windows(3).filter(is_frame).count() < 10 {
        let read = stream.read(&mut chunk).expect("frames");
        assert!(read > 0, "it goes on");
        seen.extend_from_slice(&chunk[..read]);
    }
    assert_eq!(server.stats()["viewers"]["mjpeg"], 1);
    drop(stream);
    server.wait_for("the end", |stats| stats["viewers"]["mjpeg"] == 0);

    let Some(browser) = Browser::start() else {
        return;
    };
    let mut page = browser.open("about:blank");
    page.command("Page.enable", json!({}));
    let without = json!({ "source": "delete window.RTCPeerConnection" });
    page.command("Page.addScriptToEvaluateOnNewDocument", without);
    page.command("Page.navigate", json!({ "url": server.url }));
    page.wait_for("document.getElementById('fallback')?.naturalWidth == 320");
}

/// `cargo test -p stylize-cli --test live_server -- --ignored` makes the pictures of the manual anew.
#[test]
#[ignore = "writes docs/images/live-*.jpg"]
fn screenshots() {
    let _alone = alone();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let clip = Command::new(root.join("scripts/fetch-clip.sh"))
        .output()
        .expect("the clip");
    let clip = String::from_utf8_lossy(&clip.stdout).trim().to_owned();
    let server = Server::with(&[
        "--listen=127.0.0.1:0",
        "--source",
        &clip,
        "--width=640",
        "--height=360",
        "--framerate=10",
    ]);
    let browser = Browser::start().expect("Chromium");
    let mut page = browser.open(&server.url);
    plays(&mut page);
    page.wait_for("document.querySelectorAll('.tile img').length == document.querySelectorAll('.tile').length");
    page.run("document.querySelector('[data-style=great-wave]').click()");
    for (name, width, height, scheme) in [
        ("light", 1280, 900, "light"),
        ("dark", 1280, 900, "dark"),
        ("phone", 390, 844, "light"),
    ] {
        let file = root.join(format!("docs/images/live-{name}.jpg"));
        page.screenshot(width, height, scheme, &file);
        assert!(std::fs::metadata(&file).is_ok_and(|file| file.len() > 10_000));
    }
}
