// SPDX-License-Identifier: MPL-2.0
//! The sound of the page: switched on and off by clicks.

use std::process::Command;

use serde_json::{Value, json};

use super::alone;
use super::chromium::Page;
use super::page::{plays, watched};
use super::server::Server;

/// Total energy of the sound and number of frames, by the browser's statistics.
fn heard(page: &mut Page) -> (f64, u64) {
    let counts = page.run(
        "connection.getStats().then((stats) => {
            const all = [...stats.values()].filter(({ type }) => type === 'inbound-rtp');
            const sound = all.find(({ kind }) => kind === 'audio');
            const video = all.find(({ kind }) => kind === 'video');
            return [sound?.totalAudioEnergy ?? 0, video?.framesDecoded ?? 0];
        })",
    );
    let energy = counts[0].as_f64().expect("an energy");
    (energy, counts[1].as_u64().expect("frames"))
}

#[test]
fn a_click_brings_the_sound_and_another_takes_it_away() {
    let Some((_alone, _browser, mut server, mut page)) = watched() else {
        return;
    };
    assert_eq!(page.run("video.muted"), json!(true));
    page.wait_for("!document.getElementById('sound').hidden");
    assert_eq!(server.stats()["source"]["sound"], json!(true));

    page.run("document.getElementById('sound').click()");
    page.wait_for("!video.muted && video.srcObject.getAudioTracks().length === 1");
    // The test source ticks once a second.
    page.wait_for(
        "connection.getStats().then((stats) => [...stats.values()].some((report) =>
            report.type === 'inbound-rtp' && report.kind === 'audio' && report.totalAudioEnergy > 0))",
    );
    let before = heard(&mut page);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let after = heard(&mut page);
    println!("energy and frames: {before:?}, {after:?}");
    assert!(after.0 > before.0, "it goes on sounding");
    assert!(after.1 > before.1 + 10, "and the picture moves");
    // The session without sound has ended.
    server.wait_for("one viewer", |stats| stats["viewers"]["webrtc"] == 1);

    page.run("document.getElementById('sound').click()");
    page.wait_for("video.muted && video.srcObject.getAudioTracks().length === 0");
    plays(&mut page);
    server.wait_for("one viewer", |stats| stats["viewers"]["webrtc"] == 1);
    assert_eq!(
        page.run("document.getElementById('problem').hidden"),
        Value::Bool(true)
    );
    assert!(server.alive());
}

/// With a source without sound, the page has no button for it, and players get silence without delay.
#[test]
fn without_sound_there_is_silence() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let film = super::film::make(folder.path());
    let server = Server::start(&[&format!("--source={}", film.display())]);
    server.wait_for("pictures", |stats| stats["source"]["state"] == "playing");
    assert_eq!(server.stats()["source"]["sound"], json!(false));
    assert!(sound(&server, 4).iter().all(|sample| *sample == 0));
}

/// Samples at 48 kHz of this many seconds, as an HLS player decodes them.
fn sound(server: &Server, seconds: usize) -> Vec<i16> {
    let output = Command::new("timeout")
        .args(["60", "ffmpeg", "-v", "error", "-i"])
        .arg(format!("{}/live.m3u8", server.url))
        .args(["-t", &seconds.to_string(), "-map", "0:a"])
        .args(["-f", "s16le", "-ac", "1", "-"])
        .output()
        .expect("ffmpeg");
    assert!(output.status.success(), "{output:?}");
    let samples = output.stdout.chunks_exact(2);
    let samples: Vec<_> = samples.map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
    // Less the length of a packet.
    assert!(samples.len() > 48_000 * (seconds - 1), "{}", samples.len());
    samples
}

#[test]
fn a_file_that_begins_again_sounds_again() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let film = super::film::with_sound(folder.path());
    let server = Server::start(&[&format!("--source={}", film.display())]);
    server.wait_for("sound", |stats| stats["source"]["sound"] == true);
    let samples = sound(&server, 9);
    let tenths = samples.chunks(4800);
    let loud = |tenth: &[i16]| tenth.iter().any(|sample| sample.unsigned_abs() > 3000);
    let share = tenths.clone().filter(|tenth| loud(tenth)).count() as f64 / tenths.len() as f64;
    println!("{share:.2} of the time it sounds");
    // Three times three seconds, with a pause at the repetition.
    assert!(share > 0.7, "{share}");
}

/// Chromium's HLS player, in versions that have one.
#[test]
fn a_browser_plays_hls_with_sound_by_itself() {
    let Some((_alone, _browser, _server, mut page)) = watched() else {
        return;
    };
    let can = "document.createElement('video').canPlayType('application/vnd.apple.mpegurl') !== ''";
    if page.run(can) != json!(true) {
        println!("skipped: this Chromium does not play HLS");
        return;
    }
    page.run(
        "window.player = document.createElement('video');
         player.src = '/live.m3u8'; player.volume = 0.5; player.play(); 0",
    );
    page.wait_for("player.currentTime > 3 && player.videoWidth === 320 && player.webkitAudioDecodedByteCount > 0");
}
