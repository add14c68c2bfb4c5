// SPDX-License-Identifier: MPL-2.0
//! An application that changes styles while playing: type a style's name, a mix, or `quit`.
//!
//! ```sh
//! cargo run --release --example change_styles             # a window
//! cargo run --release --example change_styles -- fakesink # any other sink
//! ```
//!
//! `style` may be set from any thread at any time; the picture glides there in `transition` nanoseconds. What cannot
//! be used changes nothing and comes back as a warning on the bus.

use std::error::Error;
use std::io::BufRead;

use gst::prelude::*;

/// Plays a test picture into `sink` and obeys `lines`; `warn` gets what cannot be obeyed.
pub fn run(
    sink: &str,
    lines: impl BufRead,
    warn: impl Fn(&str) + Send + Sync + 'static,
) -> Result<(), Box<dyn Error>> {
    let description = format!(
        "videotestsrc is-live=true pattern=colors ! video/x-raw,width=320,height=180,framerate=25/1 \
         ! stylize name=paint transition=1000000000 adapt=resolution ! videoconvert ! {sink}"
    );
    let pipeline = gst::parse::launch(&description)?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let paint = pipeline.by_name("paint").expect("named above");

    // The element reads styles on a thread of its own, so what it says of them comes later.
    let bus = pipeline.bus().expect("every pipeline has a bus");
    bus.set_sync_handler(move |_, message| match message.view() {
        gst::MessageView::Warning(warning) => {
            warn(warning.error().message());
            gst::BusSyncReply::Drop
        }
        _ => gst::BusSyncReply::Pass,
    });
    pipeline.set_state(gst::State::Playing)?;

    let result = obey(&bus, &paint, lines);
    pipeline.set_state(gst::State::Null)?;
    result
}

fn obey(bus: &gst::Bus, paint: &gst::Element, lines: impl BufRead) -> Result<(), Box<dyn Error>> {
    let kinds = [gst::MessageType::AsyncDone, gst::MessageType::Error];
    // The names are known when the generator is loaded: it is when the first frame comes out.
    let first = bus.timed_pop_filtered(gst::ClockTime::NONE, &kinds);
    check(first)?;
    println!(
        "styles: {}",
        paint.property::<Vec<String>>("styles").join(" ")
    );
    for line in lines.lines() {
        match line?.trim() {
            "quit" => break,
            "" => (),
            style => paint.set_property("style", style),
        }
        check(bus.pop_filtered(&[gst::MessageType::Error]))?;
    }
    Ok(())
}

fn check(message: Option<gst::Message>) -> Result<(), Box<dyn Error>> {
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(err)) => Err(err.error().into()),
        _ => Ok(()),
    }
}

#[allow(dead_code)] // The test calls `run`.
fn main() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gststylize::plugin_register_static()?;
    let sink = std::env::args().nth(1);
    run(
        sink.as_deref().unwrap_or("autovideosink"),
        std::io::stdin().lock(),
        |warning| eprintln!("{warning}"),
    )
}
