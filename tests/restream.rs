// SPDX-License-Identifier: MPL-2.0
//! The example `restream` between real servers and real players on loopback: what a publisher sends is
//! painted and reaches a player, with picture and sound together.

mod common;
#[path = "restream/janus.rs"]
mod janus;
#[path = "restream/peers.rs"]
mod peers;
#[path = "restream/player.rs"]
mod player;
#[path = "restream/recording.rs"]
mod recording;
#[path = "restream/viewer.rs"]
mod viewer;

use std::sync::{Mutex, MutexGuard, PoisonError};

use janus::Janus;
use peers::{Nginx, Relay, Restream, publish, wait_for};
use player::record;
use recording::Recording;

/// One after the other: two streams at once would measure the machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    common::init();
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
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

#[test]
fn webrtc_through_janus() {
    let _alone = alone();
    let (nginx, janus) = (Nginx::start(), Janus::start());
    let from = nginx.rtmp("in");
    let _publisher = publish("flv", &from);
    let _restream = Restream::start(&from, &janus.rtp());
    Recording::read(&viewer::record(&janus)).check("Janus");
}
