// SPDX-License-Identifier: MPL-2.0
//! Styles by the clock: a playlist, as a channel has it that nobody attends.
//!
//! ```sh
//! cargo run --release --example playlist             # until Ctrl-C
//! cargo run --release --example playlist -- fakesink # any other sink
//! ```
//!
//! The playlist names the styles by running time; the element glides from one to the next. It is read again when the
//! property is set again, also while playing.

use std::error::Error;
use std::io::Write;

use gst::prelude::*;

/// Running time, style or mix, and, if it is not the property `transition`'s, how many seconds the change takes.
const PLAYLIST: &str = "\
0:00   starry-night
0:05   great-wave            2
0:10   scream:0.5,udnie:0.5
loop 0:15
";

/// Plays `frames` frames (`None`: without an end) of a test picture in the playlist's styles.
pub fn run(sink: &str, frames: Option<u32>) -> Result<(), Box<dyn Error>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(PLAYLIST.as_bytes())?;

    let description = format!(
        "videotestsrc name=source pattern=colors is-live={} ! video/x-raw,width=320,height=180,framerate=25/1 \
         ! stylize name=paint ! videoconvert ! {sink}",
        frames.is_none()
    );
    let pipeline = gst::parse::launch(&description)?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let element = |name: &str| pipeline.by_name(name).expect("named above");
    if let Some(frames) = frames {
        element("source").set_property("num-buffers", i32::try_from(frames)?);
        element("paint").set_property("qos", false);
    }
    let path = file.path().to_str().ok_or("a path in UTF-8")?;
    element("paint").set_property("playlist", path);

    let bus = pipeline.bus().expect("every pipeline has a bus");
    pipeline.set_state(gst::State::Playing)?;
    let mut result = Ok(());
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            // A line that is not understood is a warning: what was painted before goes on.
            gst::MessageView::Warning(warning) => eprintln!("{}", warning.error()),
            gst::MessageView::Error(err) => {
                result = Err(err.error().into());
                break;
            }
            _ => (),
        }
    }
    pipeline.set_state(gst::State::Null)?;
    result
}

#[allow(dead_code)] // The test calls `run`.
fn main() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gststylize::plugin_register_static()?;
    let sink = std::env::args().nth(1);
    run(sink.as_deref().unwrap_or("autovideosink"), None)
}
