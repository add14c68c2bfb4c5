// SPDX-License-Identifier: MPL-2.0
//! `stylize rtsp` with real clients on loopback.

#[path = "rtsp_server/server.rs"]
mod server;

use gst::prelude::*;
use server::Server;

/// A client that decodes the picture; ends after so many frames.
fn client(address: &str, frames: u32) -> gst::Pipeline {
    let line = format!(
        "rtspsrc location=\"{address}\" protocols=tcp latency=100 name=r \
         r. ! application/x-rtp,media=video ! rtph264depay ! h264parse ! avdec_h264 \
         ! identity eos-after={frames} name=count ! videoconvert ! video/x-raw,format=RGB \
         ! fakesink name=sink enable-last-sample=true sync=false"
    );
    let pipeline = gst::parse::launch(&line).expect("a pipeline");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    // Without the sound: where it comes first, and nobody takes it, `rtspsrc` gives up before there is a
    // picture.
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

/// How it ended; the mean colour of the last frame, or what went wrong.
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
