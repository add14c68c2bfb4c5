// SPDX-License-Identifier: MPL-2.0
//! Low-Latency HLS over HTTP, as players use it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::alone;
use super::server::Server;

/// The body of a response that must be 200.
fn text(server: &Server, path: &str) -> String {
    String::from_utf8(bytes(server, path)).expect("UTF-8")
}

fn bytes(server: &Server, path: &str) -> Vec<u8> {
    let response = server.fetch("GET", path, &[], "");
    let (status, body) = (response.status(), response.into_body());
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
    body
}

/// URL of the media playlist.
fn media(server: &Server, query: &str) -> String {
    let text = text(server, &format!("/live.m3u8{query}"));
    assert!(text.starts_with("#EXTM3U\n"), "{text}");
    assert!(text.contains("RESOLUTION=320x180"), "{text}");
    assert!(text.contains("CODECS=\"avc1.42"), "{text}");
    assert!(text.contains(",mp4a.40.2\""), "{text}");
    format!("/{}", text.lines().last().expect("an address"))
}

/// All texts between two markers.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    let parts = text.split(before).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(after)?.0))
        .collect()
}

/// By `ffprobe`: 1 for each key frame, 0 for each other frame.
fn frames(file: &Path) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v"])
        .args(["-show_entries", "frame=key_frame", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .expect("ffprobe");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| line.trim_end_matches(','));
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Decodes the stream with `ffmpeg`.
fn play(server: &Server, count: u32, more: &[&str]) -> Vec<u8> {
    let output = Command::new("timeout")
        .args(["60", "ffmpeg", "-v", "error", "-i"])
        .arg(format!("{}/live.m3u8", server.url))
        .args(["-map", "0:v", "-frames:v", &count.to_string()])
        .args(more)
        .arg("-")
        .output()
        .expect("ffmpeg");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    output.stdout
}

#[test]
fn an_hls_player_plays_stylized_frames() {
    let _alone = alone();
    let mut server = Server::start(&["--style=scream"]);
    server.wait_for("live frames", |stats| stats["fps"].as_f64() > Some(5.0));
    let sums = play(&server, 100, &["-f", "framemd5"]);
    let sums = String::from_utf8_lossy(&sums);
    let sums = sums.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(sums.count(), 100);

    // Stylized, and the source with `strength=0`.
    let picture = ["-f", "rawvideo", "-pix_fmt", "gray"];
    let painted = play(&server, 1, &picture);
    server.post("/api/controls", r#"{"strength": 0}"#);
    // Waits until the window has no older segments.
    std::thread::sleep(Duration::from_secs(8));
    let plain = play(&server, 1, &picture);
    assert_eq!((painted.len(), plain.len()), (320 * 180, 320 * 180));
    let apart = painted.iter().zip(&plain).map(|(a, b)| a.abs_diff(*b));
    let apart = apart.map(u64::from).sum::<u64>() / (320 * 180);
    assert!(apart > 10, "{apart}");
    assert!(server.alive());
}

#[test]
fn parts_come_one_by_one_and_can_be_decoded() {
    let _alone = alone();
    let server = Server::start(&[]);
    let media = media(&server, "");
    let first = text(&server, &media);
    let hint = between(&first, "TYPE=PART,URI=\"", "\"");
    let [hint] = hint[..] else {
        panic!("one hint: {first}");
    };
    // The part of the preload hint.
    assert!(!bytes(&server, &format!("/hls/{hint}")).is_empty());

    // Three seconds of blocking reloads.
    let parts = |text: &str| -> Vec<(String, bool)> {
        let lines = between(text, "#EXT-X-PART:", "\n");
        let part = |line: &&str| {
            let name = between(line, "URI=\"", "\"")[0].to_owned();
            (name, line.contains("INDEPENDENT=YES"))
        };
        lines.iter().map(part).collect()
    };
    let mut seen = parts(&first);
    let before = seen.len();
    let begin = Instant::now();
    while seen.len() < before + 12 {
        let (last, _) = seen.last().expect("a part");
        let mut numbers = last.split('.').map(|number| number.parse::<u64>());
        let (Some(Ok(segment)), Some(Ok(part))) = (numbers.next(), numbers.next()) else {
            panic!("{last}");
        };
        let next = format!("{media}&_HLS_msn={segment}&_HLS_part={}", part + 1);
        let text = text(&server, &next);
        let new = parts(&text);
        let place = new.iter().position(|(name, _)| name == last);
        let new = &new[place.expect("no part is missed") + 1..];
        assert!(!new.is_empty(), "it waits for another part: {text}");
        seen.extend_from_slice(new);
    }
    let time = begin.elapsed();
    println!("{} parts in {time:.1?}", seen.len() - before);
    assert!(time > Duration::from_secs(2), "it waits: {time:?}");

    let init = bytes(
        &server,
        &format!("/hls/{}", between(&first, "MAP:URI=\"", "\"")[0]),
    );
    let dir = tempfile::tempdir().expect("a folder");
    let (mut all, mut count) = (init.clone(), 0);
    for (name, independent) in &seen {
        let data = bytes(&server, &format!("/hls/{name}"));
        all.extend_from_slice(&data);
        if *independent {
            let file = dir.path().join("part.mp4");
            std::fs::write(&file, [&init[..], &data].concat()).expect("written");
            let frames = frames(&file);
            assert_eq!(frames.first().map(String::as_str), Some("1"), "{name}");
            count += 1;
        }
    }
    assert!(count >= 3, "a key frame a second: {seen:?}");
    let file = dir.path().join("all.mp4");
    std::fs::write(&file, &all).expect("written");
    // Five to a part, unless the machine is busy.
    let frames = frames(&file);
    println!("{} frames in {} parts", frames.len(), seen.len());
    assert!(frames.len() > 2 * seen.len());
    assert_eq!(frames[0], "1");

    // A segment is the concatenation of its parts.
    let now = text(&server, &media);
    let segment = now.lines().rfind(|line| line.ends_with(".m4s"));
    let segment = segment.expect("a segment").trim_end_matches(".m4s");
    let of = parts(&now).into_iter().map(|(name, _)| name);
    let of = of.filter(|name| name.starts_with(&format!("{segment}.")));
    let of: Vec<_> = of
        .map(|name| bytes(&server, &format!("/hls/{name}")))
        .collect();
    assert_eq!(bytes(&server, &format!("/hls/{segment}.m4s")), of.concat());
}

#[test]
fn hls_refuses_in_json_and_ends_after_the_last_viewer() {
    let _alone = alone();
    let server = Server::start(&["--max-viewers=1"]);
    let refused = |path: &str, wanted: u16, part: &str| {
        let (status, answer) = server.get(path);
        assert_eq!(status, wanted, "{path}: {answer}");
        let error = answer["error"].as_str().expect("an error as JSON");
        assert!(error.contains(part), "{path}: {error}");
    };
    refused("/hls/1.m4s", 404, "nobody watches");
    refused("/hls/index.html", 404, "/live.m3u8");
    let media = media(&server, "");
    let playlist = text(&server, &media);
    assert_eq!(server.stats()["viewers"]["hls"], 1);
    refused(&format!("{media}&_HLS_msn=new"), 400, "_HLS_msn is \"new\"");
    refused(&format!("{media}&_HLS_msn=-1"), 400, "whole number");
    refused(&format!("{media}&_HLS_part=0"), 400, "_HLS_msn");
    let ahead = format!("{media}&_HLS_msn=99999999999&_HLS_part=0");
    refused(&ahead, 400, "too far ahead");
    refused("/hls/7.m4s", 404, "segment 7");
    refused("/hls/7.0.m4s", 404, "part 0 of segment 7");
    refused("/hls/init-7.mp4", 404, "stream 7");
    refused("/hls/media.m3u8?viewer=another", 503, "--max-viewers");
    refused("/live.m3u8", 503, "--max-viewers");
    let elsewhere = [("Origin", "https://example.org")];
    let (status, _) = server.request("GET", &media, &elsewhere, "");
    assert_eq!(status, 403);

    let segment = playlist.lines().find(|line| line.ends_with(".m4s"));
    let segment = format!("/hls/{}", segment.expect("a segment"));
    for (path, kind, cache) in [
        (&media, "application/vnd.apple.mpegurl", "no-cache"),
        (&segment, "video/mp4", "max-age=60, immutable"),
    ] {
        let response = server.fetch("GET", path, &[], "");
        let header = |name| Some(response.headers().get(name)?.to_str().expect("text"));
        assert_eq!(header("content-type"), Some(kind));
        assert_eq!(header("cache-control"), Some(cache));
        assert_eq!(header("access-control-allow-origin"), None);
    }

    server.wait_for("the end", |stats| stats["viewers"]["hls"] == 0);
    let begin = Instant::now();
    while server.get(&segment).1["error"].is_null() {
        assert!(begin.elapsed() < Duration::from_secs(30));
        // Less often than the timeout of a viewer.
        std::thread::sleep(Duration::from_secs(11));
    }
    refused(&segment, 404, "nobody watches");
    refused(&media, 404, "has ended");
    // Another stream: other numbers.
    let again = text(&server, &self::media(&server, ""));
    let number = |text: &str| {
        between(text, "MEDIA-SEQUENCE:", "\n")[0]
            .parse::<u64>()
            .ok()
    };
    assert!(number(&again) > number(&playlist), "{again}");
    refused(&media, 404, "has ended");
    assert!(again.contains("DISCONTINUITY-SEQUENCE:1\n"), "{again}");
}

#[test]
fn the_token_goes_along_in_the_addresses() {
    let _alone = alone();
    // Characters that need escaping in a URL.
    let server = Server::start(&["--token=open+sesame&\"?"]);
    let token = "?token=open%2Bsesame%26%22%3F";
    let media = media(&server, token);
    let playlist = text(&server, &media);
    let mut addresses = between(&playlist, "URI=\"", "\"");
    let lines = playlist.lines().filter(|line| !line.starts_with('#'));
    addresses.extend(lines);
    assert!(addresses.len() > 12, "{playlist}");
    for address in addresses {
        assert!(address.ends_with(token), "{address}");
        let bare = format!("/hls/{}", address.trim_end_matches(token));
        let (status, answer) = server.get(&bare);
        assert_eq!(status, 401, "{bare}: {answer}");
        assert!(answer["error"].is_string(), "{answer}");
        bytes(&server, &format!("/hls/{address}"));
    }
    let (status, _) = server.get(&media.replace("open", "shut"));
    assert_eq!(status, 401);

    // With a header, URLs need no secret.
    let given = [("Authorization", "Bearer open+sesame&\"?")];
    let response = server.fetch("GET", "/live.m3u8", &given, "");
    assert_eq!(response.status(), 200);
    let body = String::from_utf8_lossy(response.body()).into_owned();
    assert!(!body.contains("token"), "{body}");
    let stats = server.request("GET", "/api/stats", &given, "").1;
    assert_ne!(stats["viewers"]["hls"], Value::Null, "{stats}");
}
